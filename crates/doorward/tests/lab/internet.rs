//! What the internet of the lab offers: a resolver that knows every name, and a web server that answers for all of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::{
    host::Host,
    world::{SERVER, SERVER_V6, World},
};

/// How the real servers of the probes, and all others, name themselves.
pub const SERVER_NAME: &str = "the-internet";

/// What is published at `/ads.txt`.
pub const BLOCK_LIST: &str = "# adverts\n0.0.0.0 ads.example\n||tracker.example^\n";

/// Client, URL, and the answer of the real server.
pub const PROBES: [(&str, &str, u16, &str); 8] = [
    (
        "Apple",
        "http://captive.apple.com/hotspot-detect.html",
        200,
        "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>",
    ),
    ("Android", "http://connectivitycheck.gstatic.com/generate_204", 204, ""),
    ("ChromeOS", "http://clients3.google.com/generate_204", 204, ""),
    ("Windows", "http://www.msftconnecttest.com/connecttest.txt", 200, "Microsoft Connect Test"),
    (
        "Firefox, page",
        "http://detectportal.firefox.com/canonical.html",
        200,
        "<meta http-equiv=\"refresh\" content=\"0;url=https://support.mozilla.org/kb/captive-portal\"/>",
    ),
    ("Firefox, text", "http://detectportal.firefox.com/success.txt", 200, "success\n"),
    ("NetworkManager", "http://nmcheck.gnome.org/check_network_status.txt", 200, "NetworkManager is online\n"),
    ("Ubuntu", "http://connectivity-check.ubuntu.com/", 204, ""),
];

impl World {
    /// Starts resolver and web server.
    pub fn open_internet(&self) {
        let log = fs::File::create("/dev/null").expect("a place for output");
        let mut resolver = self.internet.command("dnsmasq");
        resolver.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root"]);
        resolver.args(["--bind-interfaces", "--pid-file=", "--cache-size=0", "--local-ttl=60"]);
        resolver.args([format!("--listen-address={SERVER},{SERVER_V6}")]);
        resolver.args([format!("--address=/#/{SERVER}"), format!("--address=/#/{SERVER_V6}")]);
        resolver.args([
            "--address=/garden.example/192.0.2.81",
            "--address=/id.example/192.0.2.82",
            "--address=/id.example/2001:db8:80::82",
            "--txt-record=tunnel.example,payload",
        ]);
        self.internet.spawn(resolver, log);
        self.internet.run("ip addr add 192.0.2.81/32 dev lo");
        for port in [80, 443] {
            for address in [SERVER, SERVER_V6, "192.0.2.81"] {
                serve(&self.internet, SocketAddr::new(address.parse().expect("an address"), port));
            }
        }
    }
}

/// Answers every request; those of probes as the real servers do.
fn serve(host: &Host, at: SocketAddr) {
    let listener = host.inside(|| TcpListener::bind(at)).expect("a free port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || drop(answer(stream)));
        }
    });
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    let mut host = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("host") {
            value.trim().clone_into(&mut host);
        }
    }
    let url = format!("http://{host}{path}");
    let probe = PROBES.iter().find(|(_, probe, _, _)| *probe == url);
    let usual = if path == "/ads.txt" { BLOCK_LIST } else { "hello from the internet\n" };
    let (status, body) = probe.map_or((200, usual), |(_, _, status, body)| (*status, *body));
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} X\r\nServer: {SERVER_NAME}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
