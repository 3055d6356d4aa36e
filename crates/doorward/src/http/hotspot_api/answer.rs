//! Answers and their texts (Hotspot API, sections 2.3 and 3).

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body::Frame;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};

use super::parameters::Unusable;
use crate::app::{self, vouchers::Refused};

/// What every answer that is no list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    message: &'static str,
    error: bool,
}

const fn refusal(message: &'static str) -> Message {
    Message { message, error: true }
}

const fn success(message: &'static str) -> Message {
    Message { message, error: false }
}

pub(super) const NOT_ENABLED: Message = refusal("API is not enabled");
pub(super) const NOT_SET: Message = refusal("API Key not set or method not allowed");
pub(super) const WRONG_KEY: Message = refusal("API Key is incorrect");
pub(super) const FAILED: Message = refusal("An error occurred");
pub(super) const NO_USERNAME: Message = refusal("No username set");
pub(super) const NO_SUCH_USER: Message = refusal("Username doesn't exist");
pub(super) const USER_EXISTS: Message = refusal("Username already exists");
pub(super) const USER_ADDED: Message = success("User added successfully");
pub(super) const USER_REMOVED: Message = success("User removed successfully");
// Ours.
pub(super) const USER_CHANGED: Message = success("User changed successfully");
pub(super) const USERS_REMOVED: Message = success("Users removed successfully");
pub(super) const NO_END: Message = refusal("User has no end to extend");
pub(super) const GUEST_KICKED: Message = success("Guest disconnected successfully");
pub(super) const NO_SUCH_GUEST: Message = refusal("Guest not found");
pub(super) const KEY_REUSED: Message = refusal("Idempotency-Key was used for another request");

/// Why an action gave no answer of its own.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A message, with HTTP 200.
    Says(Message),
    /// Doorward failed: HTTP 500. The cause is in the log already.
    Failed,
}

impl From<Message> for Refusal {
    fn from(message: Message) -> Self {
        Self::Says(message)
    }
}

impl From<Unusable> for Refusal {
    fn from(_: Unusable) -> Self {
        Self::Says(FAILED)
    }
}

impl From<app::Error> for Refusal {
    fn from(error: app::Error) -> Self {
        log(&error);
        Self::Failed
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchVoucher => Self::Says(NO_SUCH_USER),
            Refused::NameTaken => Self::Says(USER_EXISTS),
            Refused::Unusable(_) => Self::Says(FAILED),
            Refused::NoEnd => Self::Says(NO_END),
            Refused::KeyReused => Self::Says(KEY_REUSED),
            Refused::Failed(error) => error.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Says(message) => message.with(StatusCode::OK),
            Self::Failed => FAILED.with(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl Message {
    /// The message alone.
    pub(super) fn with(self, status: StatusCode) -> Response {
        answer(status, json(&self).into())
    }

    /// The message as it is sent.
    pub(super) fn json(self) -> Vec<u8> {
        json(&self)
    }

    /// The message with something between its text and its flag.
    pub(super) fn around<T: Serialize>(self, key: &'static str, value: &T) -> Vec<u8> {
        let (mut text, value) = (json(&self.message), json(value));
        text.splice(0..0, *b"{\"message\":");
        text.extend_from_slice(b",\"");
        text.extend_from_slice(key.as_bytes());
        text.extend_from_slice(b"\":");
        text.extend_from_slice(&value);
        text.extend_from_slice(if self.error { b",\"error\":true}" } else { b",\"error\":false}" });
        text
    }
}

/// A whole answer.
pub(super) fn ok(json: Vec<u8>) -> Response {
    answer(StatusCode::OK, json.into())
}

/// JSON of something that always has one.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be written");
        b"null".to_vec()
    })
}

fn answer(status: StatusCode, body: Body) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
    (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
}

/// The cause goes to the log, not to the caller.
fn log(error: &app::Error) {
    let mut causes = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes += &format!(": {cause}");
        source = cause.source();
    }
    tracing::error!("hotspot API: {error}{causes}");
}

/// Pieces of a list that wait for their client.
const PIECES: usize = 2;
/// Longest wait for a client to take one.
const PIECE_WAIT: Duration = Duration::from_secs(30);

/// Rows of a list, one page after the other.
pub(super) trait Pages: Send + 'static {
    /// The next rows as JSON, joined by commas, and whether more may follow; a page without rows is empty.
    fn next(&mut self) -> impl Future<Output = Result<(Vec<u8>, bool), app::Error>> + Send;
}

/// Answers `{"key":[…]}` page by page, so that a long list needs no memory. The first page is read before the answer begins;
/// a failure on a later one cuts the connection.
pub(super) async fn list(
    key: &'static str,
    mut pages: impl Pages,
    permit: OwnedSemaphorePermit,
) -> Result<Response, Refusal> {
    let (rows, mut more) = pages.next().await?;
    let mut piece = format!("{{\"{key}\":[").into_bytes();
    let mut begun = !rows.is_empty();
    piece.extend_from_slice(&rows);
    if !more {
        piece.extend_from_slice(b"]}");
        return Ok(ok(piece));
    }
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        let _permit = permit;
        loop {
            if !matches!(timeout(PIECE_WAIT, sender.send(Ok(piece.into()))).await, Ok(Ok(()))) || !more {
                return;
            }
            piece = match pages.next().await {
                Ok((rows, follows)) => {
                    more = follows;
                    let mut piece = if begun && !rows.is_empty() { b",".to_vec() } else { Vec::new() };
                    begun |= !rows.is_empty();
                    piece.extend_from_slice(&rows);
                    if !more {
                        piece.extend_from_slice(b"]}");
                    }
                    piece
                }
                Err(error) => {
                    log(&error);
                    drop(timeout(PIECE_WAIT, sender.send(Err(Cut))).await);
                    return;
                }
            };
        }
    });
    Ok(answer(StatusCode::OK, Body::new(Pieces(receiver, false))))
}

/// The rest of a list cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the list was cut")]
struct Cut;

/// A body whose pieces come from a task. Ended without `]}`, it breaks the connection.
struct Pieces(mpsc::Receiver<Result<Bytes, Cut>>, bool);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = self.0.poll_recv(cx);
        polled.map(|piece| match piece {
            Some(Ok(bytes)) => {
                self.1 = bytes.ends_with(b"]}");
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(cut)) => Some(Err(cut)),
            // The task gave up on a client that was too slow.
            None => (!std::mem::replace(&mut self.1, true)).then_some(Err(Cut)),
        })
    }
}
