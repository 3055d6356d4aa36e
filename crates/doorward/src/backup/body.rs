//! An archive on its way: a body of known length.

use std::{
    fs::File,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use tokio::{io::AsyncReadExt as _, sync::mpsc, time::timeout};
use tokio_util::bytes::Bytes;

const PIECE: usize = 64 * 1024;
/// Longest wait until a piece is taken.
const PIECE_WAIT: Duration = Duration::from_secs(60);

/// A file as a body of known length, read beside the exchange.
#[derive(Debug)]
pub struct FileBody {
    pieces: mpsc::Receiver<std::io::Result<Bytes>>,
    left: u64,
}

impl FileBody {
    /// Reads `size` bytes of the file from where it stands.
    #[must_use]
    pub fn new(file: File, size: u64) -> Self {
        let (sender, pieces) = mpsc::channel(4);
        tokio::spawn(async move {
            let mut file = tokio::fs::File::from_std(file).take(size);
            loop {
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await;
                let last = !matches!(read, Ok(1..));
                let sent = matches!(read, Ok(0))
                    || timeout(PIECE_WAIT, sender.send(read.map(|_| piece.into())))
                        .await
                        .is_ok_and(|sent| sent.is_ok());
                if !sent || last {
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
