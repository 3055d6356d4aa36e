//! The configuration socket: who may open it is root, what it takes is bounded.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use doorward_policy::name::IfName;
use rustix::io::Errno;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    answer,
    peers::Tunnel,
    request::{PEERS_MAX, Request},
};
use crate::Error;

/// Connections at one time; further ones wait.
const CONNECTIONS: usize = 16;
/// Longest line: a key with its field's name takes 78 bytes.
const LINE_MAX: usize = 256;
/// Longest request.
const REQUEST_MAX: usize = PEERS_MAX * 512;
/// Longest wait for the other side, from request to request and for each.
const WAIT: Duration = Duration::from_secs(30);

/// Listens, and takes its file away when dropped.
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Tells our file from one that another process has put in its place.
    inode: u64,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove the socket");
        }
    }
}

impl Socket {
    /// Takes the place of a socket that an earlier process left behind: only one holds the device, and that is us.
    pub(super) fn bind(dir: &Path, name: IfName) -> Result<Self, Error> {
        let path = dir.join(format!("{name}.sock"));
        let failed = |e: io::Error| Error::caused(format!("cannot listen at {}", path.display()), e);
        fs::create_dir_all(dir).map_err(failed)?;
        // Made under another name, so that it is never open to others for a moment.
        let new = dir.join(format!(".{name}.sock.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(failed)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let inode = fs::symlink_metadata(&new).map_err(failed)?.ino();
        fs::rename(&new, &path).map_err(failed)?;
        Ok(Self { listener, path, inode })
    }

    pub(super) async fn serve(&self, tunnel: Arc<Tunnel>) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let tunnel = tunnel.clone();
                    tokio::spawn(async move {
                        // The other side's end of a connection is its own affair.
                        let _ = converse(stream, tunnel).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Answers requests until the other side has no more.
async fn converse(stream: UnixStream, tunnel: Arc<Tunnel>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    loop {
        let asked = timeout(WAIT, read_request(&mut reader, REQUEST_MAX)).await?;
        let outcome = match asked? {
            None => return Ok(()),
            Some(Ok(Asked::Get)) => {
                timeout(WAIT, answer::write(tunnel.holding().await, &tunnel.sightings, &mut writer)).await??;
                continue;
            }
            Some(Ok(Asked::Watch)) => return watch(&tunnel, &mut reader, &mut writer).await,
            Some(Ok(Asked::Set(request))) => tunnel.apply(request).await,
            Some(Err(errno)) => Err(errno),
        };
        let errno = outcome.err().map_or(0, Errno::raw_os_error);
        timeout(WAIT, writer.write_all(format!("errno={errno}\n\n").as_bytes())).await??;
    }
}

/// Tells news until the other side goes; what else it says is of no interest.
async fn watch(
    tunnel: &Tunnel,
    reader: &mut (impl AsyncBufRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    tokio::select! {
        ended = reader.fill_buf() => ended.map(|_| ()),
        ended = answer::write_news(&tunnel.sightings, writer) => ended,
    }
}

#[derive(Debug)]
enum Asked {
    Get,
    /// `doorward_watch`, ours.
    Watch,
    Set(Request),
}

/// Reads one request to its empty line, even when it is no good: who writes before he reads would otherwise not see
/// our answer. `left` is how many bytes it may have. `None`: the connection ended, perhaps in the middle.
async fn read_request(
    reader: &mut (impl AsyncBufRead + Unpin),
    mut left: usize,
) -> io::Result<Option<Result<Asked, Errno>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX));
    let mut request = Request::default();
    let mut operation = None;
    let mut refused = None;
    loop {
        match read_line(reader, &mut line, &mut left).await? {
            Line::End => return Ok(None),
            Line::TooLong => drop(refused.get_or_insert(Errno::MSGSIZE)),
            Line::Whole if line.is_empty() => break,
            Line::Whole => {
                let taken = match (operation, line.as_slice()) {
                    (None, b"get=1" | b"set=1" | b"doorward_watch=1") => {
                        operation = Some(line[0]);
                        Ok(())
                    }
                    (Some(b's'), field) => request.line(field),
                    (_, _) => Err(Errno::INVAL),
                };
                if let Err(errno) = taken {
                    refused.get_or_insert(errno);
                }
            }
        }
    }
    Ok(Some(match (refused, operation) {
        (Some(errno), _) => Err(errno),
        (None, Some(b'g')) => Ok(Asked::Get),
        (None, Some(b'd')) => Ok(Asked::Watch),
        (None, Some(_)) => Ok(Asked::Set(request)),
        (None, None) => Err(Errno::INVAL),
    }))
}

enum Line {
    Whole,
    /// Read to its end, but not kept.
    TooLong,
    /// Of the connection.
    End,
}

/// Reads a line without its end into `line`.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>, left: &mut usize) -> io::Result<Line> {
    line.zeroize();
    let mut too_long = false;
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(Line::End);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let taken = end.map_or(part.len(), |end| end + 1);
        *left = left.checked_sub(taken).ok_or(io::ErrorKind::FileTooLarge)?;
        too_long |= line.len() + part.len() > LINE_MAX;
        if !too_long {
            line.extend_from_slice(part);
        }
        reader.consume(taken);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> Option<Result<Asked, Errno>> {
        read_request(&mut bytes, 100_000).await.expect("a slice does not fail")
    }

    #[tokio::test]
    async fn requests_end_with_an_empty_line() {
        assert!(matches!(read(b"get=1\n\n").await, Some(Ok(Asked::Get))));
        assert!(matches!(read(b"set=1\nlisten_port=5\n\n").await, Some(Ok(Asked::Set(r))) if r.listen_port == Some(5)));
        for cut in [&b""[..], b"get=1", b"get=1\n", b"set=1\nlisten_port=5\n"] {
            assert!(read(cut).await.is_none(), "{cut:?}");
        }
    }

    #[tokio::test]
    async fn bad_requests_are_read_to_their_end() {
        let long = [b"set=1\nprivate_key=".as_slice(), &[b'0'; 10_000], b"\n\n"].concat();
        for (bad, errno) in [
            (&b"\n"[..], Errno::INVAL),
            (b"put=1\n\n", Errno::INVAL),
            (b"get=1\nlisten_port=1\n\n", Errno::INVAL),
            (b"set=1\nset=1\n\n", Errno::INVAL),
            (b"set=1\nlisten_port=1\0\n\n", Errno::INVAL),
            (b"set=1\n\xff\xfe\n\n", Errno::INVAL),
            (&long, Errno::MSGSIZE),
        ] {
            let both = [bad, b"get=1\n\n"].concat();
            let mut bytes = both.as_slice();
            let first = read_request(&mut bytes, 100_000).await.expect("reads");
            assert_eq!(first.and_then(Result::err), Some(errno), "{bad:?}");
            assert!(matches!(read(bytes).await, Some(Ok(Asked::Get))), "the next one is read after {bad:?}");
        }
    }

    #[tokio::test]
    async fn an_endless_request_is_cut_off() {
        let bytes = [b"set=1\n".as_slice(), &b"listen_port=1\n".repeat(100)].concat();
        assert!(read_request(&mut bytes.as_slice(), 1_000).await.is_err());
        let one_line = vec![b'x'; 1_001];
        assert!(read_request(&mut one_line.as_slice(), 1_000).await.is_err());
    }

    /// Noise in the shape of requests: no panic, and an answer to each that ends.
    #[tokio::test]
    async fn noise_is_no_danger() {
        let words: [&[u8]; 12] = [
            b"set=1",
            b"get=1",
            b"\n",
            b"\n\n",
            b"=",
            b"public_key=",
            b"allowed_ip=-",
            b"10.0.0.1/3",
            b"endpoint=[",
            b"\0",
            b"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "é".as_bytes(),
        ];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..12 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                text.extend_from_slice(words[usize::try_from(random % 12).expect("fits")]);
            }
            let mut bytes = text.as_slice();
            while read_request(&mut bytes, 100_000).await.expect("a slice does not fail").is_some() {}
        }
    }
}
