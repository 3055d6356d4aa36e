//! Making an archive.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use flate2::{Compression, write::DeflateEncoder};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    COMMENT, DIGEST_LEN, FORMAT, FileEntry, Keys, MANIFEST, MANIFEST_MAC, MOST_ARCHIVE, MOST_FILES, Manifest, Part,
    file_of, hex,
    key::{ArchiveKeys, KeySource, code},
    seal::Sealer,
};

/// What an archive says of its making.
#[derive(Debug, Clone)]
pub struct Head {
    /// Name of the machine.
    pub host: String,
    /// Digest of the gateway's instance id.
    pub gateway: String,
    /// RFC 3339 with offset.
    pub made_at: String,
    /// The same, Unix ms.
    pub made_ms: i64,
    /// Whether statistics and logs are in it.
    pub statistics: bool,
}

/// An archive in the making. Blocks: it belongs on a thread of its own.
pub struct ArchiveWriter {
    zip: ZipWriter<File>,
    manifest: Manifest,
    keys: ArchiveKeys,
    open: Option<Open>,
    written: u64,
}

/// The file that lines go to.
struct Open {
    listed: Listed,
    sealed: DeflateEncoder<Sealer>,
}

/// Its line of the manifest, under way.
struct Listed {
    entry: FileEntry,
    digest: Sha256,
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o600)
}

impl ArchiveWriter {
    /// Begins in an empty file that can be read as well.
    ///
    /// # Errors
    /// No random numbers; the key cannot be made.
    pub fn new(file: File, head: Head, keys: &Keys) -> io::Result<Self> {
        let source = KeySource::new(keys).map_err(io::Error::other)?;
        let keys = source.keys(keys).map_err(io::Error::other)?;
        let Head { host, gateway, made_at, made_ms, statistics } = head;
        let product = concat!("doorward ", env!("CARGO_PKG_VERSION")).to_owned();
        let manifest = Manifest {
            format: FORMAT,
            product,
            host,
            gateway,
            made_at,
            made_ms,
            statistics,
            key: source,
            files: Vec::new(),
        };
        Ok(Self { zip: ZipWriter::new(file), manifest, keys, open: None, written: 0 })
    }

    /// Adds lines. The parts of a table come one after another.
    ///
    /// # Errors
    /// The file cannot be written; it would be too large.
    pub fn add(&mut self, part: &Part) -> io::Result<()> {
        let name = file_of(&part.table);
        if self.open.as_ref().is_none_or(|open| open.listed.entry.name != name) {
            self.close()?;
            self.begin(name)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.listed.entry.plain += part.lines.len() as u64;
        open.listed.entry.rows += part.lines.iter().filter(|b| **b == b'\n').count() as u64;
        open.sealed.write_all(&part.lines)?;
        let sealed = std::mem::take(&mut open.sealed.get_mut().sealed);
        put(&mut self.zip, &mut open.listed, &sealed, &mut self.written)
    }

    fn begin(&mut self, name: String) -> io::Result<()> {
        if self.manifest.files.len() >= MOST_FILES {
            return Err(io::Error::other("too many tables"));
        }
        let number = u32::try_from(self.manifest.files.len()).unwrap_or(u32::MAX);
        self.zip.start_file(name.as_str(), options())?;
        let sealed = DeflateEncoder::new(Sealer::new(&self.keys.seal, number), Compression::fast());
        let entry = FileEntry { name, size: 0, sha256: String::new(), plain: 0, rows: 0 };
        self.open = Some(Open { listed: Listed { entry, digest: Sha256::new() }, sealed });
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Some(Open { mut listed, sealed }) = self.open.take() else { return Ok(()) };
        let rest = sealed.finish()?.finish()?;
        put(&mut self.zip, &mut listed, &rest, &mut self.written)?;
        let Listed { mut entry, digest } = listed;
        entry.sha256 = hex(&digest.finalize());
        self.manifest.files.push(entry);
        Ok(())
    }

    /// Writes manifest, code and digest. Answers with the file, not yet flushed to the disk.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> io::Result<(File, Manifest)> {
        self.close()?;
        let text = serde_json::to_vec_pretty(&self.manifest)?;
        self.zip.start_file(MANIFEST, options())?;
        self.zip.write_all(&text)?;
        self.zip.start_file(MANIFEST_MAC, options())?;
        self.zip.write_all(hex(&code(&self.keys.mac, &text)).as_bytes())?;
        let comment = [COMMENT, &[b'0'; DIGEST_LEN]].concat();
        self.zip.set_raw_comment(comment.into_boxed_slice())?;
        let mut file = self.zip.finish()?;
        // The digest is of all bytes before its digits.
        let end = file.seek(SeekFrom::End(0))?.saturating_sub(DIGEST_LEN as u64);
        let digest = digest_of(&mut file, end)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(digest.as_bytes())?;
        Ok((file, self.manifest))
    }
}

fn put(zip: &mut ZipWriter<File>, listed: &mut Listed, sealed: &[u8], written: &mut u64) -> io::Result<()> {
    listed.entry.size += sealed.len() as u64;
    *written += sealed.len() as u64;
    if *written > MOST_ARCHIVE {
        return Err(io::Error::other("the backup would be too large"));
    }
    listed.digest.update(sealed);
    zip.write_all(sealed)
}

/// SHA-256 of the first bytes of a file, hexadecimal.
pub(super) fn digest_of(file: &mut File, len: u64) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut left = len;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        digest.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(hex(&digest.finalize()))
}
