//! Archives: what a backup is on disk, and nothing of where its rows come from (docs/adr/0012-backups.md).
//!
//! An archive is a zip with stored entries: `manifest.json`, its code `manifest.mac`, and a file of sealed JSON lines for
//! each table. The comment at its end is the digest of all bytes before it, so a flip of any bit is found, also of those that
//! readers of zip files ignore; the code and the seals tell whether somebody made it who knows the key.

mod body;
mod folder;
mod key;
mod manifest;
mod read;
pub mod remote;
mod seal;
mod write;

pub use self::{
    body::FileBody,
    folder::{BackupFile, BackupName, Folder, host_name},
    key::{Keys, MachineKey, Passphrase},
    manifest::{FileEntry, Manifest},
    read::{Archive, check_whole},
    write::{ArchiveWriter, Head},
};

/// Rows of one table, as lines of JSON; each line is whole and ends with `\n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The table's name.
    pub table: String,
    /// The lines.
    pub lines: Vec<u8>,
}

/// Why an archive is refused. The texts are those of the VPN API, section 3.9; what follows a colon is the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Damaged, foreign, of another version, or sealed under another key.
    #[error("Error backup reader: {0}")]
    Reader(String),
    /// The list of files names none.
    #[error("Empty list of files in file with file list")]
    EmptyList,
    /// There is nothing in it.
    #[error("Empty archive")]
    Empty,
    /// More or fewer files than the list says.
    #[error("The number of files in the archive does not match the list of files in the file")]
    Count,
    /// Other files than the list says.
    #[error("Mismatch between files in archive and list of files")]
    Mismatch,
    /// The file cannot be opened.
    #[error("Failed to open archive, ERROR: {0}")]
    Open(String),
}

/// Name of the manifest in an archive, and of its code.
const MANIFEST: &str = "manifest.json";
const MANIFEST_MAC: &str = "manifest.mac";
/// What the comment begins with; 64 hexadecimal digits of SHA-256 follow.
const COMMENT: &[u8] = b"doorward-backup sha256:";
/// Length of the digits.
const DIGEST_LEN: usize = 64;
/// Version of the format.
const FORMAT: u32 = 1;

/// Most files in an archive, and most bytes of its manifest.
const MOST_FILES: usize = 100;
const MOST_MANIFEST: u64 = 256 * 1024;
/// Most bytes of an archive, so that no entry needs longer headers.
pub const MOST_ARCHIVE: u64 = 4_000_000_000;
/// Most bytes of what one file unpacks to.
const MOST_PLAIN: u64 = 32_000_000_000;
/// Longest line: a hotspot's settings with a logo, and terms in all languages.
const MOST_LINE: usize = 8 * 1024 * 1024;
/// Bytes of lines that are handed on at once, about.
const PART_LEN: usize = 256 * 1024;

/// `data/accounts.jsonl`
fn file_of(table: &str) -> String {
    format!("data/{table}.jsonl")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, b| {
        let _infallible = write!(text, "{b:02x}");
        text
    })
}
