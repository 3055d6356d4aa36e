//! A tunnel process on its own, for the tests of this crate: `tunnel tunnel IF [--socket-dir DIR]`, as `doorward` has
//! it.

use std::path::PathBuf;

use anyhow::Context as _;
use doorward_kernel::tunnel::{SOCKET_DIR, daemon};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, dir) = match words.as_slice() {
        ["tunnel", name] => (name, PathBuf::from(SOCKET_DIR)),
        ["tunnel", name, "--socket-dir", dir] => (name, PathBuf::from(dir)),
        _ => anyhow::bail!("usage: tunnel IF [--socket-dir DIR]"),
    };
    tracing_subscriber::fmt().with_env_filter(daemon::LOG_FILTER).with_ansi(false).init();
    daemon::run(name.parse().context("no interface name")?, &dir).await.context("tunnel")
}
