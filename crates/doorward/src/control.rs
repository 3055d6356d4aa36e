//! The Unix socket by which `doorward status` asks a running gateway. Whoever may open it (root) may read it; it
//! takes no orders.

use std::{io, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

/// File name in the state folder.
pub const SOCKET: &str = "control.sock";

/// Longest answer that is read, and longest wait for it.
const MOST_BYTES: u64 = 1 << 20;
const WAIT: Duration = Duration::from_secs(5);

/// What the gateway tells of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Doorward's version.
    pub version: String,
    /// `OK` or `Loading (…)`.
    pub state: String,
    /// Process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// What this kernel offers.
    pub kernel: Vec<String>,
    /// Interfaces that lead to the internet.
    pub wans: Vec<String>,
    /// Stored VPN servers.
    pub servers: u64,
    /// Stored accounts.
    pub accounts: u64,
    /// The last full pass: reason, age, time it took and what it did.
    pub last_full_pass: Option<String>,
    /// How long that took.
    pub last_full_pass_ms: Option<u64>,
    /// Full passes since the start.
    pub full_passes: u64,
    /// What the kernel refused and has not taken since.
    pub failures: Vec<String>,
}

/// Answers everybody who connects with a [`Report`] as JSON, until dropped.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve<F, R>(state_dir: &Path, report: F) -> io::Result<()>
where
    F: Fn() -> R,
    R: Future<Output = Report>,
{
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let text = serde_json::to_vec(&report().await).unwrap_or_default();
        // A reader that went away or does not read is its own loss.
        drop(tokio::time::timeout(WAIT, stream.write_all(&text)).await);
    }
}

/// Asks the gateway that runs on this state folder.
///
/// # Errors
/// None runs, or it does not answer.
pub async fn ask(state_dir: &Path) -> io::Result<Report> {
    let ask = async {
        let mut text = Vec::new();
        UnixStream::connect(state_dir.join(SOCKET)).await?.take(MOST_BYTES).read_to_end(&mut text).await?;
        serde_json::from_slice(&text).map_err(io::Error::other)
    };
    tokio::time::timeout(WAIT, ask).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
