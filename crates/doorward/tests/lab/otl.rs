//! A one-time link, from the API's answer to the first packet.

use crate::{
    client::Client,
    lab::{Lab, RECONNECT_WITHIN, text},
    world::{GATEWAY, SERVER},
};

#[test]
fn a_link_connects_a_client_once() {
    let mut lab = Lab::new();
    let server = lab.server("");
    let account = lab.account(&server, "name=linked");
    let address = text(&lab.api.get(&format!("account/{account}/otl"))).to_owned();
    assert!(address.starts_with(&format!("https://{GATEWAY}:8443/otl/")), "{address}");
    let mut client = lab.world.client();

    // What messengers do before the person sees the link.
    for options in ["", "--head"] {
        let (status, page) = fetch(&client, &format!("{options} {address}"));
        assert!(status == 200 && !page.contains("PrivateKey"), "{status}: {page}");
    }
    let (status, page) = fetch(&client, &format!("--data-raw x=1 {address}"));
    assert_eq!(status, 200, "{page}");
    client.up(&shown(&page));
    client.reaches(SERVER, RECONNECT_WITHIN);
    assert!(client.latest_handshake() > 0);

    let stranger = lab.world.client();
    for who in [&stranger, &client] {
        let (status, page) = fetch(who, &format!("--data-raw x=1 {address}"));
        assert!(status == 404 && !page.contains("PrivateKey"), "{status}: {page}");
    }
    let key = address.rsplit('/').next().expect("a key");
    assert!(lab.gateway.log().contains("a one-time link was used"), "the log was read");
    assert!(!lab.gateway.log().contains(key), "the key is in the log");
}

/// Status and body of a request that a client makes beside its tunnel.
pub fn fetch(client: &Client, request: &str) -> (u16, String) {
    let line = format!("curl --silent --show-error --insecure --max-time 10 --write-out \\n%{{http_code}} {request}");
    let output = client.host.run(&line);
    let (body, status) = output.trim_end().rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

/// The configuration on the page.
pub fn shown(page: &str) -> String {
    let from = page.split_once("<pre").and_then(|(_, rest)| rest.split_once('>')).expect("a text").1;
    from.split_once("</pre>").expect("its end").0.to_owned()
}
