//! Archives of backups whose digest is right and whose rest was made up, and lines that a key's owner made up.

use std::{
    cell::RefCell,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
};

use doorward::{
    backup::{Archive, ArchiveWriter, Head, Keys, MachineKey, Part, Refused},
    store::PartReader,
};
use sha2::{Digest as _, Sha256};

use crate::generate::cases;

const DIGITS: usize = 64;
const WORDS: [&[u8]; 12] = [
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"manifest.json",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\"size\": 18446744073709551615",
    b"\"plain\": 0",
    b"\"files\": []",
    b"../",
];

fn keys() -> Keys {
    Keys { machine: Some(MachineKey::new(|_| [7; 32])), passphrase: None }
}

fn archive() -> Vec<u8> {
    let file = tempfile::tempfile().unwrap();
    let head =
        Head { host: "h".to_owned(), gateway: "g".to_owned(), made_at: "now".to_owned(), made_ms: 0, statistics: true };
    let mut writer = ArchiveWriter::new(file, head, &keys()).unwrap();
    for table in ["settings", "firewall"] {
        writer.add(&Part { table: table.to_owned(), lines: b"[\"active\"]\n[\"{}\"]\n".to_vec() }).unwrap();
    }
    let (mut file, _) = writer.finish().unwrap();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

thread_local! {
    static FILE: RefCell<File> = RefCell::new(tempfile::tempfile_in("/dev/shm").unwrap());
}

/// The archive of these bytes, with a digest that is right.
fn opened(bytes: &[u8]) -> Result<Archive, Refused> {
    let mut bytes = bytes.to_vec();
    if let Some(end) = bytes.len().checked_sub(DIGITS) {
        let digest: String = Sha256::digest(&bytes[..end]).iter().map(|b| format!("{b:02x}")).collect();
        bytes[end..].copy_from_slice(digest.as_bytes());
    }
    FILE.with_borrow_mut(|file| {
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&bytes).unwrap();
        Archive::open(file.try_clone().unwrap(), &keys())
    })
}

#[test]
fn archives() {
    let sample = archive();
    let parts = |mut archive: Archive| {
        let mut all = Vec::new();
        archive.parts(|part| {
            all.push(part);
            Ok::<_, Refused>(())
        })?;
        Ok::<_, Refused>(all)
    };
    let good = opened(&sample).and_then(parts).unwrap();
    assert_eq!(good.len(), 2);
    cases(std::slice::from_ref(&sample), &WORDS, |input, _| {
        // Whatever still opens holds just what was sealed.
        if let Ok(read) = opened(input).and_then(parts) {
            assert!(read == good, "{input:?}");
        }
    });
}

#[test]
fn lines() {
    let samples = [
        "[\"active\",\"previous\",\"confirm_by_ms\",\"draft\"]\n[\"{}\",null,null,null]\n",
        "[\"id\",\"hotspot_id\",\"mac\",\"policy\",\"note\",\"created_ms\"]\n[1,2,\"02:00:00:00:00:07\",\"allowed\",\"\",3]\n",
        "[\"settings\"]\n[\"{}\"]\n",
    ];
    let words: [&[u8]; 8] = [b"null", b"[", b"]", b"\n", b"9223372036854775808", b"-1", b"\\u0000", b"\"AAAA\""];
    cases(&samples.map(|text| text.as_bytes().to_vec()), &words, |input, _| {
        for table in ["firewall", "hotspot_devices", "link_settings", "accounts", "nothing"] {
            drop(PartReader::default().check(&Part { table: table.to_owned(), lines: input.to_vec() }));
        }
    });
}
