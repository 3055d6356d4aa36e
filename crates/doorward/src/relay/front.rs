//! The relay towards callers: what passes to a gateway, and what is refused here (Hotspot API, section 1.4).

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts},
};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Relay, lines::Line, wire};

/// Most bytes of a request's body (Hotspot API, section 2.2).
const MOST_BODY_BYTES: usize = 64 * 1024;
/// Longest wait for a body.
const BODY_WAIT: Duration = Duration::from_secs(10);
/// Longest wait for a turn at a gateway that is busy.
const TURN_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for the head of an answer; the gateway itself gives up after 30 s.
const ANSWER_WAIT: Duration = Duration::from_secs(35);
/// Longest life of an exchange, a caller that reads slowly included.
const WHOLE_WAIT: Duration = Duration::from_secs(180);
/// Longest head of a gateway's answer in bytes, and most of its headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 32;
/// Most bytes of a gateway's answer.
const MOST_ANSWER_BYTES: u64 = 256 << 20;

const NOT_SET: &str = "API Key not set or method not allowed";
const FAILED: &str = "An error occurred";

/// The answer to one request.
pub(super) async fn answer(relay: &Relay, client: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    if !relay.gates.address(client) {
        return says(StatusCode::TOO_MANY_REQUESTS, FAILED);
    }
    // A name without a gateway, a name that never was, and a wrong path look alike.
    let line = relay.name_of(&head).and_then(|name| relay.lines.get(&name));
    let Some(line) = line.filter(|_| matches!(head.uri.path(), "/api" | "/api/")) else { return nothing() };
    if head.method != Method::POST {
        return says(StatusCode::METHOD_NOT_ALLOWED, NOT_SET);
    }
    if !relay.gates.name(&line.known.name) {
        return says(StatusCode::TOO_MANY_REQUESTS, FAILED);
    }
    let bytes = match read(&head, body).await {
        Ok(bytes) => bytes,
        Err(status) => return says(status, FAILED),
    };
    // Not before the body is there: whoever sends slowly holds up nobody.
    let Some(slots) = turns(relay, &line).await else { return says(StatusCode::SERVICE_UNAVAILABLE, FAILED) };
    match timeout(ANSWER_WAIT, exchange(&line, client, &head, bytes)).await {
        Ok(Some(response)) => pass(response, slots),
        Ok(None) => says(StatusCode::BAD_GATEWAY, FAILED),
        Err(_) => says(StatusCode::GATEWAY_TIMEOUT, FAILED),
    }
}

async fn read(head: &Parts, body: Incoming) -> Result<Bytes, StatusCode> {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > MOST_BODY_BYTES) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match timeout(BODY_WAIT, Limited::new(body, MOST_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

type Slots = [OwnedSemaphorePermit; 2];

/// A turn at this gateway, and one of all.
async fn turns(relay: &Relay, line: &Line) -> Option<Slots> {
    let turn = async |slots: &Arc<Semaphore>| Arc::clone(slots).acquire_owned().await.ok();
    let both = async { Some([turn(&line.slots).await?, turn(&relay.gates.requests).await?]) };
    timeout(TURN_WAIT, both).await.ok().flatten()
}

/// One request over a stream of its own. `None`: the line or the gateway failed.
async fn exchange(line: &Line, client: IpAddr, head: &Parts, body: Bytes) -> Option<Response<Incoming>> {
    let mut stream = line.opener.open().await?;
    stream.write_all(&wire::address_bytes(client)).await.ok()?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.ok()?;
    // Ends with the answer's body, or cuts it off.
    tokio::spawn(timeout(WHOLE_WAIT, connection));
    let mut request = Request::post("/api/").header(header::HOST, line.known.name.as_str());
    for name in [header::CONTENT_TYPE, header::HeaderName::from_static("idempotency-key")] {
        if let Some(value) = head.headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let request = request.body(Full::new(body)).ok()?;
    sender.send_request(request).await.ok()
}

/// What a caller sees of a gateway's answer: its status if it is one that the API has, and its body.
fn pass(response: Response<Incoming>, slots: Slots) -> Response<Body> {
    let (head, body) = response.into_parts();
    match head.status.as_u16() {
        404 => nothing(),
        200 | 400 | 405 | 413 | 429 | 500 => {
            let mut response = Response::new(Body::new(Held { body, left: MOST_ANSWER_BYTES, _slots: slots }));
            *response.status_mut() = head.status;
            mark(response)
        }
        _ => says(StatusCode::BAD_GATEWAY, FAILED),
    }
}

/// A message of ours, in the shape of the API's.
fn says(status: StatusCode, message: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{{\"message\": \"{message}\", \"error\": true}}")));
    *response.status_mut() = status;
    mark(response)
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn mark(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A body that holds its turns until it is through, and has an end.
struct Held {
    body: Incoming,
    left: u64,
    _slots: Slots,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else { return Poll::Pending };
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => Some(Err(std::io::Error::other(error))),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { return Poll::Ready(None) };
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Some(Ok(Frame::data(data)))
                    }
                    None => Some(Err(std::io::Error::other("an answer is too long"))),
                }
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
