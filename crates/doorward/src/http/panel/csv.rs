//! Lists as CSV (RFC 4180), sent as they are read.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use http_body::Frame;
use tokio::{sync::mpsc, time::timeout};

use super::{
    errors,
    seat::{Answer, Failure},
};
use crate::app::Error;

/// Rows that are read at once.
pub(super) const ROWS: u32 = 1000;
/// Pieces that wait for their client.
const PIECES: usize = 2;
/// Longest wait for a client to take one.
const PIECE_WAIT: Duration = Duration::from_secs(30);

/// A line of cells.
#[derive(Default)]
pub(super) struct Line(String);

impl Line {
    /// Adds a cell. Spreadsheets take what begins like a formula for one: such a text gets a `'` before it.
    pub(super) fn cell(mut self, text: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push('"');
        if text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']) {
            self.0.push('\'');
        }
        for character in text.chars() {
            match character {
                '"' => self.0 += "\"\"",
                '\0' => {}
                other => self.0.push(other),
            }
        }
        self.0.push('"');
        self
    }

    /// Adds a number.
    pub(super) fn number(mut self, number: impl std::fmt::Display) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0 += &number.to_string();
        self
    }
}

/// Sends a list. `read` answers the lines of a page of at most [`ROWS`] rows, counted from 0; one with fewer is the last.
/// The first page is read before the answer begins; a failure on a later one breaks the connection.
///
/// # Errors
/// The first page cannot be read.
pub(super) async fn send<F>(name: &str, head: Line, mut read: impl FnMut(u32) -> F + Send + 'static) -> Answer
where
    F: Future<Output = Result<Vec<Line>, Error>> + Send + 'static,
{
    let pages = move |page| {
        let lines = read(page);
        async move {
            let lines = lines.await?;
            let more = lines.len() >= ROWS as usize;
            Ok((lines, more))
        }
    };
    send_pages(name, head, pages).await
}

/// Sends a long list whose ids were read at once, sorted: what is added, changed or deleted meanwhile moves no row from
/// one page to another. `read` answers the lines of at most [`ROWS`] of them, without those that are gone.
///
/// # Errors
/// The first lines cannot be read.
pub(super) async fn send_found<I, F>(
    name: &str,
    head: Line,
    ids: Vec<I>,
    mut read: impl FnMut(Vec<I>) -> F + Send + 'static,
) -> Answer
where
    I: Send + 'static,
    F: Future<Output = Result<Vec<Line>, Error>> + Send + 'static,
{
    let mut left = ids.into_iter();
    let pages = move |_| {
        let lines = read(left.by_ref().take(ROWS as usize).collect());
        let more = left.len() > 0;
        async move { Ok((lines.await?, more)) }
    };
    send_pages(name, head, pages).await
}

/// Sends pages; `read` answers the lines of one and whether there is another.
async fn send_pages<F>(name: &str, head: Line, mut read: impl FnMut(u32) -> F + Send + 'static) -> Answer
where
    F: Future<Output = Result<(Vec<Line>, bool), Error>> + Send,
{
    let (lines, mut more) = read(0).await?;
    let mut piece = joined(std::iter::once(head).chain(lines));
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::spawn(async move {
        for page in 1.. {
            // An empty one would be the end.
            if !piece.is_empty() && !matches!(timeout(PIECE_WAIT, sender.send(Ok(piece))).await, Ok(Ok(()))) {
                return;
            }
            if !more {
                drop(timeout(PIECE_WAIT, sender.send(Ok(Bytes::new()))).await);
                return;
            }
            match read(page).await {
                Ok((lines, further)) => {
                    more = further;
                    piece = joined(lines.into_iter());
                }
                Err(error) => {
                    errors::log(&error);
                    drop(timeout(PIECE_WAIT, sender.send(Err(Cut))).await);
                    return;
                }
            }
        }
    });
    answer(name, Body::new(Pieces { receiver, whole: false }))
}

/// Sends a list that is in memory.
///
/// # Errors
/// A name that is no file's.
pub(super) fn send_rows(name: &str, head: Line, lines: Vec<Line>) -> Answer {
    answer(name, Body::from(joined(std::iter::once(head).chain(lines))))
}

fn answer(name: &str, body: Body) -> Answer {
    let disposition =
        HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")).map_err(|_| Failure::Broken)?;
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    let response: Response =
        ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], body).into_response();
    Ok(response)
}

fn joined(lines: impl Iterator<Item = Line>) -> Bytes {
    lines.fold(String::new(), |all, line| all + &line.0 + "\r\n").into()
}

/// The rest of a list cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the list was cut")]
struct Cut;

/// A body whose pieces come from a task; an empty one is the end. Without it, the connection breaks: half a list must not
/// look whole.
struct Pieces {
    receiver: mpsc::Receiver<Result<Bytes, Cut>>,
    whole: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.whole {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|piece| match piece {
            Some(Ok(bytes)) if bytes.is_empty() => {
                self.whole = true;
                None
            }
            Some(Ok(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Err(cut)) => Some(Err(cut)),
            None => (!std::mem::replace(&mut self.whole, true)).then_some(Err(Cut)),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_no_cell_ends_early() {
        let line = Line::default().cell("=1+1").cell("a\"b,c\r\nd").cell(" @x").number(-3).cell("").cell("nul\0");
        assert_eq!(line.0, "\"'=1+1\",\"a\"\"b,c\r\nd\",\"' @x\",-3,\"\",\"nul\"");
        for formula in ["+1", "-1", "@a", "\t=a", "\r=a", "|x", "%x", "  =1"] {
            assert!(Line::default().cell(formula).0.starts_with("\"'"), "{formula:?}");
        }
    }

    #[tokio::test]
    async fn lists_come_whole_or_break() {
        let lines = |count: u32| Ok((0..count).map(|n| Line::default().number(n)).collect::<Vec<_>>());
        let answer =
            send("x", Line::default().cell("n"), move |page| async move { lines([1000, 1000, 3][page as usize]) });
        let body = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.iter().filter(|b| **b == b'\n').count(), 2004);
        let broken = send("x", Line::default().cell("n"), move |page| async move {
            if page == 0 { lines(1000) } else { Err(Error::Failed("told to")) }
        });
        assert!(broken.await.unwrap().into_body().collect().await.is_err());
    }

    #[tokio::test]
    async fn rows_that_are_gone_end_no_list() {
        let even = |ids: Vec<u32>| async move {
            Ok(ids.into_iter().filter(|id| id % 2 == 0).map(|id| Line::default().number(id)).collect())
        };
        let answer = send_found("x", Line::default().cell("n"), (0..2500).collect(), even);
        let body = answer.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.iter().filter(|b| **b == b'\n').count(), 1251);
        let none = send_found("x", Line::default().cell("n"), Vec::new(), even);
        assert_eq!(none.await.unwrap().into_body().collect().await.unwrap().to_bytes(), "\"n\"\r\n");
    }
}
