//! The VPN API over a kept-alive connection that was made inside the gateway's network.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::host::Host;

/// Longest wait for one answer. The gateway waits up to two seconds for the kernel before it answers.
const ANSWER: Duration = Duration::from_secs(10);
/// A connection that rested for longer is made anew: the gateway closes idle ones after some seconds.
const REST: Duration = Duration::from_secs(3);

/// A caller of the API.
pub struct Api {
    host: Host,
    address: SocketAddr,
    hash: String,
    connection: Option<BufReader<TcpStream>>,
    used: Instant,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `error` of the envelope.
    pub error: String,
    /// `msg` of the envelope.
    pub msg: Value,
}

impl Api {
    /// A caller that has not connected yet.
    pub fn new(host: &Host, address: SocketAddr, hash: &str) -> Self {
        Self { host: host.clone(), address, hash: hash.to_owned(), connection: None, used: Instant::now() }
    }

    /// Calls, connecting where needed. `Err`: no answer came, so nobody knows whether the call counted.
    pub fn try_call(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let answer = self.exchange(method, path, body);
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// Calls and answers `msg`; panics unless the gateway said `success`.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.try_call(method, path, body).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        assert_eq!((answer.status, answer.error.as_str()), (200, ""), "{method} {path} {body}");
        answer.msg
    }

    pub fn get(&mut self, path: &str) -> Value {
        self.call("GET", path, "")
    }

    pub fn post(&mut self, path: &str, body: &str) -> Value {
        self.call("POST", path, body)
    }

    pub fn put(&mut self, path: &str, body: &str) -> Value {
        self.call("PUT", path, body)
    }

    pub fn delete(&mut self, path: &str) -> Value {
        self.call("DELETE", path, "")
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        if self.connection.is_none() || self.used.elapsed() > REST {
            let stream = self.host.inside(|| TcpStream::connect_timeout(&self.address, ANSWER))?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.set_nodelay(true)?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().expect("connected just now");
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: gateway\r\nCookie: access_hash={}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.hash,
            body.len()
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let answer = read_answer(connection);
        self.used = Instant::now();
        answer
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| broken("no status line"))?;
    let mut length = None;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        }
    }
    let mut body = vec![0; length.ok_or_else(|| broken("no content length"))?];
    connection.read_exact(&mut body)?;
    let mut envelope: Value = serde_json::from_slice(&body).map_err(|_| broken("not JSON"))?;
    let error = envelope["error"].as_str().unwrap_or_default().to_owned();
    Ok(Answer { status, error, msg: envelope["msg"].take() })
}
