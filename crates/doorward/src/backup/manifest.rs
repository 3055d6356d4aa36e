//! What an archive says of itself, readable without a key.

use serde::{Deserialize, Serialize};

use super::key::KeySource;

/// The list of files, and who made it when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format of archives.
    pub format: u32,
    /// The program: `doorward 0.1.0`.
    pub product: String,
    /// Name of the machine.
    pub host: String,
    /// Digest of the gateway's instance id: whether rows are those of the gateway that reads them.
    pub gateway: String,
    /// RFC 3339 with offset.
    pub made_at: String,
    /// The same, Unix ms.
    pub made_ms: i64,
    /// Whether statistics and logs are in it.
    pub statistics: bool,
    /// How its key is made.
    pub key: KeySource,
    /// The files beside the manifest and its code.
    pub files: Vec<FileEntry>,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name in the archive.
    pub name: String,
    /// Bytes as it stands there, sealed.
    pub size: u64,
    /// SHA-256 of these, hexadecimal.
    pub sha256: String,
    /// Bytes of its lines.
    pub plain: u64,
    /// Rows.
    pub rows: u64,
}
