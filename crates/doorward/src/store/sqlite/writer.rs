//! The task that writes to SQLite: group commit.
//!
//! It takes the operations that are waiting, runs each under a savepoint in one transaction, commits once, and only
//! then answers them. An operation that fails is undone alone. When the transaction itself fails (disk full, file
//! read-only), nothing of the group is stored, all of it is answered so, and the next group begins with a new
//! connection.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    super::{
        Error,
        db::{Running, STATEMENT_WAIT},
    },
    BUSY_WAIT, File,
};

/// Operations that may wait; more callers wait for a place.
const QUEUE: usize = 1024;
/// Operations in one transaction at most.
const GROUP: usize = 256;

/// The callers' side.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    closing: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// An operation that waits for its turn.
struct Job {
    /// It may take long. Others of its transaction would wait with it, longer than who asked for them does.
    alone: bool,
    run: Work,
}

/// What a job does, and how it answers who asked for it. It gets the connection, or why there is none.
type Work = Box<dyn for<'c> FnOnce(Result<&'c mut SqliteConnection, Failure>) -> Running<'c, Done> + Send>;

/// What an operation leaves for the time after the commit.
struct Done {
    /// Its changes are to be kept.
    keep: bool,
    /// Answers the caller.
    answer: Box<dyn FnOnce(Result<(), Failure>) + Send>,
}

type Failure = Arc<sqlx::Error>;

impl Writer {
    pub(super) fn start(file: File, connection: SqliteConnection) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let closing = Arc::new(Notify::new());
        let task = tokio::spawn(run(file, connection, jobs, closing.clone()));
        Self { queue, closing, task: Mutex::new(Some(task)) }
    }

    pub(super) async fn write<T, F>(&self, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Result<T, Error>> + Send + 'static,
    {
        self.enqueue(false, BUSY_WAIT + STATEMENT_WAIT, operation).await
    }

    /// The same in a transaction of its own, with another longest time from the call to the commit.
    pub(super) async fn write_within<T, F>(&self, longest: Duration, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Result<T, Error>> + Send + 'static,
    {
        self.enqueue(true, longest, operation).await
    }

    async fn enqueue<T, F>(&self, alone: bool, longest: Duration, operation: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Running<'c, Result<T, Error>> + Send + 'static,
    {
        let (reply, answered) = oneshot::channel();
        let run: Work = Box::new(|connection| {
            Box::pin(async move {
                // Nobody waits for it any more: it was said to have failed, so it must not be stored later.
                if reply.is_closed() {
                    return Done { keep: false, answer: Box::new(|_| ()) };
                }
                let result = match connection {
                    Ok(connection) => operation(connection).await,
                    Err(failure) => Err(Error::Unavailable(failure)),
                };
                let keep = result.is_ok();
                let answer = Box::new(|committed: Result<(), Failure>| {
                    let result = committed.map_err(Error::Unavailable).and(result);
                    // Nobody listens any more: fine.
                    let _ = reply.send(result);
                });
                Done { keep, answer }
            })
        });
        let answer = async {
            self.queue.send(Job { alone, run }).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())?
        };
        timeout(longest, answer).await.map_err(|_| Error::Unavailable(Arc::new(sqlx::Error::PoolTimedOut)))?
    }

    /// Lets what waits finish, then closes the connection.
    pub(super) async fn close(&self) {
        self.closing.notify_one();
        if let Some(task) = self.task.lock().await.take() {
            // An error would be a panic in the task, which left nothing to close.
            let _ = task.await;
        }
    }
}

fn closed() -> Error {
    Error::Unavailable(Arc::new(sqlx::Error::PoolClosed))
}

async fn run(file: File, connection: SqliteConnection, mut jobs: mpsc::Receiver<Job>, closing: Arc<Notify>) {
    let mut connection = Some(connection);
    let mut group = Vec::new();
    loop {
        let taken = tokio::select! {
            biased;
            () = closing.notified(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
            taken = jobs.recv_many(&mut group, GROUP) => taken,
        };
        if taken == 0 {
            break;
        }
        while !group.is_empty() {
            let length = length_of_group(&group);
            connection = run_group(&file, connection, group.drain(..length)).await;
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database did not close well");
    }
}

/// How many of these jobs are run in one transaction: all up to one that runs alone, or that one.
fn length_of_group(jobs: &[Job]) -> usize {
    match jobs.iter().position(|job| job.alone) {
        Some(0) => 1,
        Some(before) => before,
        None => jobs.len(),
    }
}

/// Runs a group and answers it. Gives the connection back if it is still good.
async fn run_group(
    file: &File,
    connection: Option<SqliteConnection>,
    mut jobs: impl ExactSizeIterator<Item = Job>,
) -> Option<SqliteConnection> {
    let mut done = Vec::with_capacity(jobs.len());
    let result = async {
        let mut connection = match connection {
            Some(connection) => connection,
            None => file.connect().await?,
        };
        run_jobs(&mut connection, &mut jobs, &mut done).await?;
        Ok(connection)
    }
    .await;
    let (connection, committed) = match result {
        Ok(connection) => (Some(connection), Ok(())),
        Err(error) => {
            let failure = failure_of(error);
            tracing::error!(error = &*failure as &dyn std::error::Error, "cannot write to the database");
            // Those that did not get their turn.
            for job in jobs {
                done.push((job.run)(Err(failure.clone())).await);
            }
            (None, Err(failure))
        }
    };
    for Done { keep: _, answer } in done {
        answer(committed.clone());
    }
    connection
}

/// One transaction over all jobs. What fails in here, a savepoint that SQLite has already rolled back included, fails
/// the whole group; the connection is then closed by its drop, which rolls back.
async fn run_jobs(
    connection: &mut SqliteConnection,
    jobs: impl Iterator<Item = Job>,
    done: &mut Vec<Done>,
) -> Result<(), Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for job in jobs {
        sqlx::query("SAVEPOINT operation").execute(&mut *connection).await?;
        let outcome = (job.run)(Ok(&mut *connection)).await;
        let keep = outcome.keep;
        done.push(outcome);
        if !keep {
            sqlx::query("ROLLBACK TO operation").execute(&mut *connection).await?;
        }
        sqlx::query("RELEASE operation").execute(&mut *connection).await?;
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

fn failure_of(error: Error) -> Failure {
    if let Error::Unavailable(source) = error { source } else { Arc::new(sqlx::Error::Protocol(error.to_string())) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::store::sqlite::Sqlite;

    /// What was asked for before something long is answered before it ends.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_waits_for_what_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(Sqlite::open(&folder.path().join("doorward.db")).await.unwrap());
        let (go, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let held = |until: &Arc<Notify>| {
            let (sqlite, until) = (Arc::clone(&sqlite), Arc::clone(until));
            let work = async move {
                until.notified().await;
                Ok(())
            };
            async move { sqlite.write(|_| Box::pin(work)).await }
        };
        // While the first runs the others queue up, to be taken together.
        let first = tokio::spawn(held(&go));
        tokio::time::sleep(Duration::from_millis(100)).await;
        let short = {
            let sqlite = Arc::clone(&sqlite);
            tokio::spawn(async move { sqlite.durability().await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        let long = {
            let (sqlite, end, ended) = (Arc::clone(&sqlite), Arc::clone(&end), Arc::clone(&ended));
            tokio::spawn(async move {
                let work = async move {
                    end.notified().await;
                    ended.store(true, Ordering::SeqCst);
                    Ok(())
                };
                sqlite.write_within(Duration::from_mins(1), |_| Box::pin(work)).await
            })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        go.notify_one();
        first.await.unwrap().unwrap();
        timeout(Duration::from_secs(10), short).await.expect("an answer").unwrap().unwrap();
        assert!(!ended.load(Ordering::SeqCst));
        end.notify_one();
        long.await.unwrap().unwrap();
        sqlite.close().await;
    }
}
