//! A real HTTP server that takes orders for SMS and writes each as a line of JSON into a file.

use std::{fs, net::SocketAddr, path::Path};

use serde_json::Value;

const PROGRAM: &str = r#"
import http.server, json, socket, sys
host, port, path, status = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
class Gateway(http.server.BaseHTTPRequestHandler):
    def take(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        order = {"method": self.command, "path": self.path, "body": body, "headers": dict(self.headers)}
        with open(path, "a") as orders:
            orders.write(json.dumps(order) + "\n")
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()
    do_GET = do_POST = take
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
Server((host, port), Gateway).serve_forever()
"#;

/// Program and arguments that start it; it answers every order with `status`.
pub fn command(listen: SocketAddr, orders: &Path, status: u16) -> Vec<String> {
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    let words = ["/usr/bin/python3".to_owned(), "-c".to_owned(), PROGRAM.to_owned(), host, port];
    words.into_iter().chain([orders.display().to_string(), status.to_string()]).collect()
}

/// The orders that it took.
pub fn orders(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
