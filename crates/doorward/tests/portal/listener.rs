//! The sockets themselves, over TCP. They need port 80 of an address that only this test has.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, TcpStream},
    path::Path,
    time::Duration,
};

use doorward::{http::portal, tls};
use doorward_policy::guest::Mac;

use crate::{
    databases::Database,
    house::{House, eventually},
};

/// The gateway's address of the hotspot that is made here: of the loopback network, which needs no setting up.
const GATEWAY: &str = "127.77.0.1";

/// What a device asks for at the captive-portal API.
const CAPTIVE: &str = "application/captive+json";

fn connect() -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&format!("{GATEWAY}:80").parse().unwrap(), Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    Some(stream)
}

/// A whole exchange; empty: the connection was closed.
fn exchange(request: &str) -> String {
    let Some(mut stream) = connect() else { return String::new() };
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_follow_the_hotspots_and_bear_a_crowd() {
    tls::install_provider();
    let house = House::secure(Database::sqlite()).await;
    assert!(connect().is_none(), "no hotspot, no socket");
    // No operator could make it, but it can be reached without a network of its own.
    let mut cellar = house.hotspot.clone();
    cellar.name = "cellar".parse().unwrap();
    cellar.hotspot.interface = "lo".parse().unwrap();
    cellar.hotspot.address = format!("{GATEWAY}/16").parse().unwrap();
    cellar.hotspot.address_ipv6 = None;
    house.store.insert_hotspot(&cellar).await.unwrap();
    let app = house.opened_again().await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = tls::open(Path::new(""), Path::new(""), folder.path()).unwrap().config().unwrap();
    let portal = portal::spawn(app.clone(), Some(certificate)).unwrap();
    eventually("the portal listens", async || connect()).await;

    let probe = "GET /generate_204 HTTP/1.1\r\nHost: connectivitycheck.gstatic.com\r\n\r\n";
    let answer = tokio::task::spawn_blocking(|| exchange(probe)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
    assert!(answer.contains("location: https://login.guest.internal/\r\n"), "{answer}");
    // One request a connection, whatever a client would like.
    let twice = format!("{probe}{probe}");
    let answer = tokio::task::spawn_blocking(move || exchange(&twice)).await.unwrap();
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");

    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap();
    let request = client.get(format!("https://{GATEWAY}{}", portal::API_PATH)).header("accept", CAPTIVE);
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, CAPTIVE));

    // Strangers with idle connections hold up each other, and no guest.
    let crowd: Vec<TcpStream> = (0..700).filter_map(|_| connect()).collect();
    assert_eq!(crowd.len(), 700);
    let answer = tokio::task::spawn_blocking(|| exchange(probe)).await.unwrap();
    assert_eq!(answer, "", "one stranger too many");
    let guest: IpAddr = "127.77.0.2".parse().unwrap();
    let hotspot = app.hotspot("cellar").unwrap().hotspot.id;
    assert!(app.hosts().seen(hotspot, Mac([2, 0, 0, 0, 0x77, 2]), guest, 1));
    let browser = reqwest::Client::builder().local_address(guest).no_proxy().timeout(Duration::from_secs(2));
    let page = browser.build().unwrap().get(format!("http://{GATEWAY}/")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("/login/voucher"));
    drop(crowd);
    eventually("strangers are heard again", async || {
        let answer = tokio::task::spawn_blocking(|| exchange(probe)).await.unwrap();
        answer.starts_with("HTTP/1.1 302 Found\r\n").then_some(())
    })
    .await;

    app.delete_hotspot("cellar", true).await.unwrap();
    eventually("the socket is closed", async || connect().is_none().then_some(())).await;
    portal.abort();
}
