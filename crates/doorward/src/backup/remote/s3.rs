//! Stores that speak S3: one signed PUT with the whole archive.

use std::{
    fs::File,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use reqwest::{StatusCode, header};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use tokio::{io::AsyncReadExt as _, sync::mpsc};
use tokio_util::bytes::Bytes;

use super::{LONGEST, STEP_WAIT, said};
use crate::{backup::BackupName, backup_settings::S3, fetch};

/// How long a signature holds: the store looks at it when the upload begins.
const SIGNED_FOR: Duration = Duration::from_secs(600);
const PIECE: usize = 64 * 1024;

/// Uploads.
pub(super) async fn upload(s3: &S3, file: File, size: u64, name: &BackupName) -> Result<(), String> {
    let endpoint = s3.endpoint().ok_or_else(|| "the store's address cannot be used".to_owned())?;
    let region = if s3.region.is_empty() { "us-east-1".to_owned() } else { s3.region.clone() };
    let bucket = Bucket::new(endpoint, UrlStyle::Path, s3.bucket.clone(), region);
    let bucket = bucket.map_err(|_| "the store's address cannot be used".to_owned())?;
    let credentials = Credentials::new(s3.access_key.clone(), s3.secret_key.expose());
    let object = format!("{}{name}", s3.prefix.trim_start_matches('/'));
    let url = bucket.put_object(Some(&credentials), &object).sign(SIGNED_FOR);
    let client = fetch::client(LONGEST).map_err(|_| "the system's certificates cannot be used".to_owned())?;
    let request = client
        .put(url)
        .header(header::CONTENT_TYPE, "application/zip")
        .header(header::CONTENT_LENGTH, size)
        .body(reqwest::Body::wrap(FileBody::new(file, size)));
    let response = request.send().await.map_err(|error| fetch::describe(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let body = tokio::time::timeout(STEP_WAIT, fetch::body(response)).await.ok().flatten().unwrap_or_default();
    Err(refusal(status, &String::from_utf8_lossy(&body)))
}

/// `403 Forbidden: SignatureDoesNotMatch`
fn refusal(status: StatusCode, body: &str) -> String {
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| said(code));
    code.map_or_else(|| status.to_string(), |code| format!("{status}: {code}"))
}

/// A file as a body of known length, read beside the exchange.
struct FileBody {
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    fn new(file: File, size: u64) -> Self {
        let (sender, pieces) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut file = tokio::fs::File::from_std(file).take(size);
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await;
                let last = !matches!(read, Ok(1..));
                if matches!(read, Ok(0)) || sender.send(read.map(|_| piece.into())).await.is_err() || last {
                    return;
                }
            }
        });
        Self { pieces, left: size }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let polled = std::task::ready!(self.pieces.poll_recv(cx));
        Poll::Ready(match polled {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => Some(Err(error)),
            None if self.left > 0 => {
                self.left = 0;
                Some(Err(std::io::ErrorKind::UnexpectedEof.into()))
            }
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_refusals_of_stores_are_short() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>…</Message></Error>";
        assert_eq!(refusal(StatusCode::FORBIDDEN, body), "403 Forbidden: SignatureDoesNotMatch");
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, "<html>"), "502 Bad Gateway");
    }
}
