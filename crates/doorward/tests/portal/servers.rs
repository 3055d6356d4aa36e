//! Programs beside the gateway, on addresses of this machine.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A program that ends with this.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts a program and waits until it listens.
    pub fn start(line: impl FnOnce(SocketAddr) -> Vec<String>) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).unwrap();
        let line = line(address);
        let mut command = Command::new(&line[0]);
        let child = command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self { address, child: child.unwrap_or_else(|e| panic!("{}: {e}; see scripts/setup", line[0])) };
        for _ in 0..300 {
            if TcpStream::connect(address).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{line:?} does not listen on {address}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
