//! The seal of a file: ChaCha20-Poly1305 over pieces of 64 KiB. The nonce holds the number of the file and of the piece, and
//! the last piece says that it is the last, so that pieces cannot be swapped, left out or cut off.

use std::io::{self, Read, Write};

use chacha20poly1305::{
    ChaCha20Poly1305, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use zeroize::Zeroizing;

/// Bytes of a piece before it is sealed.
const PIECE: usize = 64 * 1024;
/// Bytes that the seal adds.
const TAG: usize = 16;

struct Cipher {
    cipher: ChaCha20Poly1305,
    file: u32,
    piece: u64,
}

impl Cipher {
    fn new(key: &[u8; 32], file: u32) -> Self {
        Self { cipher: ChaCha20Poly1305::new(key.into()), file, piece: 0 }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.file.to_be_bytes());
        nonce[4..].copy_from_slice(&self.piece.to_be_bytes());
        self.piece += 1;
        Nonce::from(nonce)
    }
}

/// Seals what is written to it. Ends with [`Self::finish`]; without, the file cannot be opened.
pub(super) struct Sealer {
    cipher: Cipher,
    waiting: Zeroizing<Vec<u8>>,
    /// Sealed and not taken yet.
    pub(super) sealed: Vec<u8>,
}

impl Sealer {
    /// `file` must be another for each file under one key.
    pub(super) fn new(key: &[u8; 32], file: u32) -> Self {
        let waiting = Zeroizing::new(Vec::with_capacity(PIECE));
        Self { cipher: Cipher::new(key, file), waiting, sealed: Vec::new() }
    }

    fn seal(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.cipher.nonce();
        let payload = Payload { msg: &self.waiting, aad: &[u8::from(last)] };
        let sealed = self.cipher.cipher.encrypt(&nonce, payload).map_err(|_| io::Error::other("cannot be sealed"))?;
        self.sealed.extend_from_slice(&sealed);
        self.waiting.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.seal(true)?;
        Ok(self.sealed)
    }
}

impl Write for Sealer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full piece waits until there is more: it may be the last.
        if self.waiting.len() == PIECE && !bytes.is_empty() {
            self.seal(false)?;
        }
        let taken = bytes.len().min(PIECE - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what a [`Sealer`] sealed; gives out nothing that was changed.
pub(super) struct Opener<R> {
    cipher: Cipher,
    sealed: R,
    /// Sealed bytes that are still to come.
    left: u64,
    open: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// `size`: of the sealed file.
    pub(super) fn new(key: &[u8; 32], file: u32, sealed: R, size: u64) -> Self {
        let open = Zeroizing::new(Vec::new());
        Self { cipher: Cipher::new(key, file), sealed, left: size, open, at: 0, ended: false }
    }

    fn next(&mut self) -> io::Result<()> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "a sealed piece was changed");
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE + TAG);
        let mut piece = vec![0; len];
        self.sealed.read_exact(&mut piece)?;
        self.left -= len as u64;
        let last = self.left == 0;
        let nonce = self.cipher.nonce();
        let payload = Payload { msg: piece.as_slice(), aad: &[u8::from(last)] };
        self.open = Zeroizing::new(self.cipher.cipher.decrypt(&nonce, payload).map_err(|_| bad())?);
        self.at = 0;
        self.ended = last;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() && !self.ended {
            self.next()?;
        }
        let rest = &self.open[self.at..];
        let taken = rest.len().min(bytes.len());
        bytes[..taken].copy_from_slice(&rest[..taken]);
        self.at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(text: &[u8], file: u32) -> Vec<u8> {
        let mut sealer = Sealer::new(&[7; 32], file);
        sealer.write_all(text).unwrap();
        sealer.finish().unwrap()
    }

    fn open(sealed: &[u8], file: u32) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        Opener::new(&[7; 32], file, sealed, sealed.len() as u64).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn backup_seals_hold_over_pieces() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let text: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let file = sealed(&text, 3);
            assert_eq!(open(&file, 3).unwrap(), text, "{len}");
            assert!(open(&file, 4).is_err(), "another file's number");
            assert!(open(&file[..file.len() - 1], 3).is_err(), "cut");
            assert!(open(&[], 3).is_err(), "nothing");
        }
        let two = sealed(&[1; 2 * PIECE], 0);
        assert!(open(&two[..PIECE + TAG], 0).is_err(), "cut between pieces");
        let mut swapped = two[PIECE + TAG..].to_vec();
        swapped.extend_from_slice(&two[..PIECE + TAG]);
        assert!(open(&swapped, 0).is_err(), "swapped");
    }
}
