//! The Unix socket by which the command line asks a running gateway, and gives it orders. Only root may open it.
//!
//! The client sends one line of JSON, an [`Order`]; the gateway answers with lines of JSON, and closes. Lists come row
//! by row, so that neither side holds all of a long one.

mod backups;
mod cloud;
mod dns;
mod firewall;
mod forms;
mod links;
mod orders;

use std::{io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::Semaphore,
    time::timeout,
};

use crate::app::App;
pub use crate::app::system::Report;
pub use backups::{BackupLine, BackupNews};
pub use cloud::CloudLine;
pub use dns::{DnsChange, DnsLine, DnsOrder, ListLine, NameLine, PlaceLine};
pub use firewall::{FirewallOrder, PolicyForm, PolicyLine, RuleForm, RuleLine};
pub use forms::{HotspotForm, HotspotLine, LinkLine, VoucherForm, VoucherLine};
pub use orders::Order;

/// File name in the state folder.
pub const SOCKET: &str = "control.sock";

/// Longest line of either side: settings with a logo, and terms in all languages.
const MOST_BYTES: u64 = 1 << 20;
/// Longest wait for a line, and for the other side to read one.
const WAIT: Duration = Duration::from_secs(30);
/// Orders that are carried out at once; others wait.
const MOST_AT_ONCE: usize = 8;

/// A line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// One of the rows that were asked for.
    Row(Value),
    /// That was all.
    Done,
    /// The order was refused, or failed.
    Error(String),
}

/// Answers everybody who connects, until dropped.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve<F, R>(state_dir: &Path, app: App, report: F) -> io::Result<()>
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Report> + Send,
{
    let path = state_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let slots = Arc::new(Semaphore::new(MOST_AT_ONCE));
    // Those at work end with this one: dropped, the gateway waits for nobody.
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while clients.try_join_next().is_some() {}
        let (app, report, slots) = (app.clone(), report.clone(), Arc::clone(&slots));
        clients.spawn(async move {
            let Ok(_slot) = slots.acquire().await else { return };
            // A client that went away or does not read is its own loss.
            drop(answer(stream, &app, &report).await);
        });
    }
}

async fn answer<F, R>(stream: UnixStream, app: &App, report: &F) -> io::Result<()>
where
    F: Fn() -> R,
    R: Future<Output = Report>,
{
    let (read, write) = stream.into_split();
    let mut answer = Answer(write);
    let mut line = Vec::new();
    let mut read = BufReader::new(read.take(MOST_BYTES));
    timeout(WAIT, read.read_until(b'\n', &mut line)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let result = match serde_json::from_slice(&line) {
        Ok(Order::Status) => answer.row(&report().await).await.map_err(orders::Failure::Client),
        Ok(order) => orders::carry_out(app, order, &mut answer).await,
        Err(error) => Err(orders::Failure::Order(format!("the order cannot be read: {error}"))),
    };
    match result {
        Ok(()) => answer.line(&Line::Done).await,
        Err(orders::Failure::Order(text)) => answer.line(&Line::Error(text)).await,
        Err(orders::Failure::Client(error)) => Err(error),
    }
}

/// The gateway's side of a connection.
struct Answer(OwnedWriteHalf);

impl Answer {
    async fn row<T: Serialize + Sync>(&mut self, row: &T) -> io::Result<()> {
        self.line(&Line::Row(serde_json::to_value(row)?)).await
    }

    async fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        timeout(WAIT, self.0.write_all(&text)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

/// Why an order brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No gateway runs on that state folder, or it does not answer.
    #[error("no gateway answers on {0}")]
    Nobody(std::path::PathBuf, #[source] io::Error),
    /// What it says of the order.
    #[error("{0}")]
    Refused(String),
    /// What it says is not understood: it is of another version.
    #[error("the running gateway speaks otherwise; restart it")]
    Version(#[source] serde_json::Error),
}

/// Gives the gateway that runs on this state folder an order, and hands each row of its answer to `take`.
///
/// # Errors
/// [`Error`]; what `take` says.
pub async fn order<T: DeserializeOwned, E: From<Error>>(
    state_dir: &Path,
    order: &Order,
    mut take: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    let path = state_dir.join(SOCKET);
    let nobody = |error| Error::Nobody(path.clone(), error);
    let connect = timeout(WAIT, UnixStream::connect(&path)).await;
    let mut stream = connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(nobody)?;
    let mut text = serde_json::to_vec(order).map_err(Error::Version)?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(nobody)?;
    let mut read = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(MOST_BYTES);
        let read = timeout(WAIT, bounded.read_until(b'\n', &mut line)).await;
        read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(nobody)?;
        if line.is_empty() {
            return Err(nobody(io::ErrorKind::UnexpectedEof.into()).into());
        }
        match serde_json::from_slice(&line).map_err(Error::Version)? {
            Line::Row(row) => take(serde_json::from_value(row).map_err(Error::Version)?)?,
            Line::Done => return Ok(()),
            Line::Error(text) => return Err(Error::Refused(text).into()),
        }
    }
}

/// Asks the gateway that runs on this state folder how it is.
///
/// # Errors
/// [`Error`].
pub async fn ask(state_dir: &Path) -> Result<Report, Error> {
    let mut report = None;
    let take = |row| {
        report = Some(row);
        Ok::<_, Error>(())
    };
    order(state_dir, &Order::Status, take).await?;
    let nobody = || Error::Nobody(state_dir.join(SOCKET), io::ErrorKind::UnexpectedEof.into());
    report.ok_or_else(nobody)
}
