//! Reading an archive: all of it is looked at before anything of it is believed.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take},
};

use flate2::read::DeflateDecoder;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zip::{CompressionMethod, ZipArchive, read::ZipFile};

use super::{
    COMMENT, DIGEST_LEN, FORMAT, FileEntry, Keys, MANIFEST, MANIFEST_MAC, MOST_ARCHIVE, MOST_FILES, MOST_LINE,
    MOST_MANIFEST, MOST_PLAIN, Manifest, PART_LEN, Part, Refused, file_of, hex,
    key::{ArchiveKeys, code},
    seal::Opener,
    write::digest_of,
};

/// The record at the end of a zip file (APPNOTE 4.3.16), its length, and what stands before it where it is of the longer kind
/// (4.3.15).
const END: &[u8] = b"PK\x05\x06";
const END_LEN: u64 = 22;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LEN: u64 = 20;
/// Longest list of entries, in bytes.
const MOST_DIRECTORY: u64 = 64 * 1024;

/// An archive whose digest, lists, codes and seals are right. Blocks: it belongs on a thread of its own.
pub struct Archive {
    zip: ZipArchive<File>,
    manifest: Manifest,
    keys: ArchiveKeys,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

fn reader(text: impl ToString) -> Refused {
    Refused::Reader(text.to_string())
}

impl Archive {
    /// Looks at all of it but its rows.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(mut file: File, keys: &Keys) -> Result<Self, Refused> {
        check_whole(&mut file)?;
        let mut zip = ZipArchive::new(file).map_err(|_| reader("it is no zip file"))?;
        let names = names(&mut zip)?;
        let text = small(&mut zip, MANIFEST, MOST_MANIFEST)?;
        let manifest: Manifest = manifest(&text)?;
        check_lists(&manifest, &names)?;
        let keys = manifest.key.keys(keys)?;
        let right = hex(&code(&keys.mac, &text));
        let mac = small(&mut zip, MANIFEST_MAC, 2 * DIGEST_LEN as u64)?;
        if !bool::from(right.as_bytes().ct_eq(&mac)) {
            let whose =
                if manifest.key.is_of_machine() { "another machine made it" } else { "the passphrase is another" };
            return Err(reader(format!("{whose}, or it was changed")));
        }
        let mut archive = Self { zip, manifest, keys };
        for number in 0..archive.manifest.files.len() {
            archive.check_file(number)?;
        }
        Ok(archive)
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hands on all rows, in the order of the tables; stops where `take` does.
    ///
    /// # Errors
    /// What `take` says; [`Refused`] where the file was changed meanwhile.
    pub fn parts<E: From<Refused>>(&mut self, mut take: impl FnMut(Part) -> Result<(), E>) -> Result<(), E> {
        for number in 0..self.manifest.files.len() {
            let entry = self.manifest.files[number].clone();
            let table = table_of(&entry.name).ok_or(Refused::Mismatch)?.to_owned();
            let mut lines = BufReader::new(self.plain(number)?);
            let (mut part, mut rows, mut plain) = (Vec::new(), 0, 0);
            loop {
                let before = part.len();
                let mut bounded = (&mut lines).take(MOST_LINE as u64);
                let read = bounded.read_until(b'\n', &mut part).map_err(|e| reader(format!("{}: {e}", entry.name)))?;
                if read > 0 && part.last() != Some(&b'\n') {
                    return Err(reader(format!("{}: a line is cut off or too long", entry.name)).into());
                }
                rows += u64::from(part.len() > before);
                plain += read as u64;
                if read == 0 || part.len() >= PART_LEN {
                    if !part.is_empty() {
                        take(Part { table: table.clone(), lines: std::mem::take(&mut part) })?;
                    }
                    if read == 0 {
                        break;
                    }
                }
            }
            if rows != entry.rows || plain != entry.plain {
                return Err(reader(format!("{}: not as many rows as listed", entry.name)).into());
            }
        }
        Ok(())
    }

    fn entry(&mut self, number: usize) -> Result<ZipFile<'_, File>, Refused> {
        let name = self.manifest.files.get(number).map(|entry| entry.name.clone()).unwrap_or_default();
        self.zip.by_name(&name).map_err(|_| Refused::Mismatch)
    }

    /// The lines of a file, unsealed and unpacked; one byte more than listed at most.
    fn plain(&mut self, number: usize) -> Result<Take<DeflateDecoder<Opener<ZipFile<'_, File>>>>, Refused> {
        let FileEntry { size, plain, .. } = self.manifest.files[number].clone();
        let key = self.keys.seal.clone();
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let opener = Opener::new(&key, index, self.entry(number)?, size);
        Ok(DeflateDecoder::new(opener).take(plain + 1))
    }

    /// Its digest is that of the manifest.
    fn check_file(&mut self, number: usize) -> Result<(), Refused> {
        let FileEntry { name, size, sha256, .. } = self.manifest.files[number].clone();
        let damaged = || reader(format!("{name} is damaged"));
        let mut file = self.entry(number)?;
        if file.size() != size {
            return Err(damaged());
        }
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => digest.update(&buffer[..read]),
                Err(_) => return Err(damaged()),
            }
        }
        if hex(&digest.finalize()) == sha256 { Ok(()) } else { Err(damaged()) }
    }
}

/// Whether all of it is as it was written; who wrote it is another question.
///
/// # Errors
/// [`Refused`].
pub fn check_whole(file: &mut File) -> Result<(), Refused> {
    let size = file.seek(SeekFrom::End(0)).map_err(|e| Refused::Open(e.to_string()))?;
    match size {
        0 => Err(Refused::Empty),
        // Headers and manifest are beside what is counted when an archive is made.
        size if size > MOST_ARCHIVE + 1024 * 1024 => Err(reader("it is too large")),
        size => check_digest(file, size),
    }
}

/// The comment at the end holds the digest of all before it. Readers of zip files overlook much; this does not.
fn check_digest(file: &mut File, size: u64) -> Result<(), Refused> {
    let failed = |e: io::Error| Refused::Open(e.to_string());
    let comment_len = (COMMENT.len() + DIGEST_LEN) as u64;
    let mut comment = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(comment_len))).map_err(failed)?;
    (&*file).take(comment_len).read_to_end(&mut comment).map_err(failed)?;
    let Some(digits) = comment.strip_prefix(COMMENT) else {
        // The end of a zip file without entries and comment.
        let is_empty = size == END_LEN && comment.starts_with(END);
        return Err(if is_empty {
            Refused::Empty
        } else {
            reader("it is no archive of this program, or its end is damaged")
        });
    };
    check_directory(file, size.saturating_sub(comment_len)).map_err(failed)??;
    let right = digest_of(file, size.saturating_sub(DIGEST_LEN as u64)).map_err(failed)?;
    if right.as_bytes() == digits { Ok(()) } else { Err(reader("it is damaged: its digest is another")) }
}

/// The record at the end says how long the list of entries is, which is read at once: ours is short. Whoever made a file knows its
/// digest too.
fn check_directory(file: &mut File, end: u64) -> io::Result<Result<(), Refused>> {
    let mut record = Vec::new();
    let len = end.min(END_LEN + LOCATOR_LEN);
    file.seek(SeekFrom::Start(end - len))?;
    (&*file).take(len).read_to_end(&mut record)?;
    let (before, record) = record.split_at(record.len().saturating_sub(END_LEN as usize));
    let number = |at: usize, len: usize| {
        let bytes = record.get(at..at + len).unwrap_or(&[0xff; 4][..len]);
        bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let few = number(10, 2) <= MOST_FILES as u64 + 2 && number(12, 4) <= MOST_DIRECTORY;
    let plain = record.starts_with(END) && !before.starts_with(LOCATOR);
    Ok(if few && plain { Ok(()) } else { Err(reader("it has too many entries")) })
}

/// Names of all entries; each is one that this program writes.
fn names(zip: &mut ZipArchive<File>) -> Result<BTreeSet<String>, Refused> {
    if zip.is_empty() {
        return Err(Refused::Empty);
    }
    if zip.len() > MOST_FILES + 2 || zip.has_duplicate_names() {
        return Err(reader("it has too many entries"));
    }
    let mut names = BTreeSet::new();
    for number in 0..zip.len() {
        let entry = zip.by_index_raw(number).map_err(|_| reader("an entry cannot be read"))?;
        let name = entry.name().map_err(|_| reader("an entry has no name"))?.into_owned();
        // Stored as it is: nothing unpacks to more than it is, before a seal was looked at.
        if entry.compression() != CompressionMethod::Stored
            || entry.encrypted()
            || entry.compressed_size() != entry.size()
        {
            return Err(reader("an entry is packed in another way"));
        }
        names.insert(name);
    }
    Ok(names)
}

fn small(zip: &mut ZipArchive<File>, name: &str, most: u64) -> Result<Vec<u8>, Refused> {
    let entry = zip.by_name(name).map_err(|_| reader(format!("{name} is missing")))?;
    if entry.size() > most {
        return Err(reader(format!("{name} is too long")));
    }
    let mut text = Vec::new();
    entry.take(most).read_to_end(&mut text).map_err(|_| reader(format!("{name} is damaged")))?;
    Ok(text)
}

fn manifest(text: &[u8]) -> Result<Manifest, Refused> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version = serde_json::from_slice(text).map_err(|_| reader("the list of files cannot be read"))?;
    if version.format != FORMAT {
        return Err(reader(format!("it has format {}, and this program reads format {FORMAT}", version.format)));
    }
    serde_json::from_slice(text).map_err(|_| reader("the list of files cannot be read"))
}

fn check_lists(manifest: &Manifest, names: &BTreeSet<String>) -> Result<(), Refused> {
    if manifest.files.is_empty() {
        return Err(Refused::EmptyList);
    }
    let listed: BTreeSet<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
    let there: BTreeSet<&str> =
        names.iter().map(String::as_str).filter(|n| ![MANIFEST, MANIFEST_MAC].contains(n)).collect();
    if manifest.files.len() != there.len() {
        return Err(Refused::Count);
    }
    if listed != there || listed.iter().any(|name| table_of(name).is_none()) {
        return Err(Refused::Mismatch);
    }
    if manifest.files.iter().any(|entry| entry.plain > MOST_PLAIN || entry.size > MOST_ARCHIVE) {
        return Err(reader("a file is too large"));
    }
    Ok(())
}

fn table_of(name: &str) -> Option<&str> {
    let table = name.strip_prefix("data/")?.strip_suffix(".jsonl")?;
    (file_of(table) == name && table.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).then_some(table)
}
