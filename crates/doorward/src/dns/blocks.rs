//! Names that are not answered: all of all lists in one sorted table of digests, 12 bytes each, so that a million cost little
//! and a question costs a few steps, however many lists there are.
//!
//! A digest of 64 bits with a key of its own for each table stands for a name: nobody who writes lists can aim at another's.

mod parse;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    io::{self, BufRead},
};

use doorward_policy::dns::Pattern;
use hickory_proto::rr::Name;

pub use self::parse::{Entry, Kind};

/// Names of all lists at most; what is more is left out, and said.
pub const MOST_NAMES: usize = 4_000_000;
/// Longest line of a list that is read, in bytes.
const MOST_LINE: u64 = 4_096;

/// Lists of one table at most: the bits of a mask but two.
pub const MOST_LISTS: usize = 30;
/// Bits of what operators say by hand.
const BY_HAND: u32 = 1 << 30;
/// Digests begin with these many bits of the index.
const INDEX_BITS: u32 = 16;

/// Who said that a name is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The operator.
    Hand,
    /// The list that was added as this one, from 0.
    List(usize),
}

/// The names. Empty by default.
#[derive(Debug, Default)]
pub struct Table {
    key: RandomState,
    /// Where the digests with these first bits begin; empty where there are none.
    index: Vec<u32>,
    digests: Vec<u64>,
    /// Which lists say it, in the order of the digests.
    masks: Vec<u32>,
}

/// How it went with a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Read {
    /// Lines that were understood.
    pub names: u64,
    /// Lines that say something that is no name to us.
    pub skipped: u64,
    /// The table had no room for all of it.
    pub full: bool,
}

/// Makes a [`Table`].
#[derive(Debug, Default)]
pub struct Builder {
    key: RandomState,
    entries: Vec<(u64, u32)>,
    lists: usize,
}

impl Builder {
    /// Reads a list: lines of a hosts file, plain names, `*.name`, `||name^`, and `@@||name^` for what that list does not mean.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add_list(&mut self, mut lines: impl BufRead) -> io::Result<Read> {
        let mut read = Read::default();
        let mask = if self.lists < MOST_LISTS { 1 << self.lists } else { 0 };
        self.lists += 1;
        let mut line = Vec::new();
        loop {
            line.clear();
            if io::Read::take(&mut lines, MOST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(read);
            }
            match parse::line(&line) {
                Ok(entries) => {
                    for entry in entries {
                        if self.entries.len() >= MOST_NAMES || mask == 0 {
                            read.full = true;
                            return Ok(read);
                        }
                        read.names += 1;
                        self.put(&entry, mask);
                    }
                }
                Err(parse::NoName) => read.skipped += 1,
            }
        }
    }

    /// Adds a name that the operator blocks by hand.
    pub fn block(&mut self, pattern: &Pattern) {
        let kind = if pattern.below { Kind::Below } else { Kind::Exact };
        self.put(&Entry { kind, allow: false, name: pattern.name.as_str().as_bytes() }, BY_HAND);
    }

    /// Adds a name that the operator wants answered, whatever else is said.
    pub fn allow(&mut self, pattern: &Pattern) {
        let kind = if pattern.below { Kind::Below } else { Kind::Exact };
        self.put(&Entry { kind, allow: true, name: pattern.name.as_str().as_bytes() }, u32::MAX);
    }

    fn put(&mut self, entry: &Entry<'_>, mask: u32) {
        let kinds: &[Kind] = match entry.kind {
            Kind::Exact => &[Kind::Exact],
            Kind::Below => &[Kind::Below],
            Kind::Both => &[Kind::Exact, Kind::Below],
        };
        let name = entry.name.to_ascii_lowercase();
        self.entries.extend(kinds.iter().map(|kind| (digest(&self.key, *kind, entry.allow, &name), mask)));
    }

    /// The table.
    #[must_use]
    pub fn build(self) -> Table {
        let Self { key, mut entries, .. } = self;
        entries.sort_unstable();
        let mut table = Table { key, ..Table::default() };
        if entries.is_empty() {
            return table;
        }
        table.digests.reserve_exact(entries.len());
        table.masks.reserve_exact(entries.len());
        for (digest, mask) in entries {
            if table.digests.last() == Some(&digest) {
                table.masks.last_mut().into_iter().for_each(|last| *last |= mask);
            } else {
                table.digests.push(digest);
                table.masks.push(mask);
            }
        }
        table.index.reserve_exact((1 << INDEX_BITS) + 1);
        let mut at = 0;
        for first in 0..=1_u64 << INDEX_BITS {
            while table.digests.get(at).is_some_and(|digest| digest >> (64 - INDEX_BITS) < first) {
                at += 1;
            }
            table.index.push(u32::try_from(at).unwrap_or(u32::MAX));
        }
        table
    }
}

impl Table {
    /// Names that it holds; one that several lists say is one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.digests.capacity() * 8 + self.masks.capacity() * 4 + self.index.capacity() * 4
    }

    /// Who says that a name is not answered; `None`: it is answered.
    #[must_use]
    pub fn judge(&self, name: &Name) -> Option<By> {
        if self.is_empty() {
            return None;
        }
        let mut text = Vec::with_capacity(256);
        for label in name {
            if !text.is_empty() {
                text.push(b'.');
            }
            text.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        let blocked = self.all(&text, false);
        if blocked == 0 {
            return None;
        }
        let left = blocked & !self.all(&text, true);
        if left & BY_HAND != 0 {
            return Some(By::Hand);
        }
        usize::try_from(left.trailing_zeros()).ok().filter(|_| left != 0).map(By::List)
    }

    /// What is said of the name itself, and of those above it for all below them.
    fn all(&self, name: &[u8], allow: bool) -> u32 {
        let mut mask = self.one(Kind::Exact, allow, name);
        let mut rest = name;
        while let Some(dot) = rest.iter().position(|byte| *byte == b'.') {
            rest = &rest[dot + 1..];
            mask |= self.one(Kind::Below, allow, rest);
        }
        mask
    }

    fn one(&self, kind: Kind, allow: bool, name: &[u8]) -> u32 {
        let digest = digest(&self.key, kind, allow, name);
        let first = usize::try_from(digest >> (64 - INDEX_BITS)).unwrap_or(0);
        let (Some(from), Some(to)) = (self.index.get(first), self.index.get(first + 1)) else { return 0 };
        let (from, to) = (usize::try_from(*from).unwrap_or(0), usize::try_from(*to).unwrap_or(0));
        let found = self.digests.get(from..to).and_then(|some| some.binary_search(&digest).ok());
        found.and_then(|at| self.masks.get(from + at)).copied().unwrap_or(0)
    }
}

fn digest(key: &RandomState, kind: Kind, allow: bool, name: &[u8]) -> u64 {
    let mut hasher = key.build_hasher();
    hasher.write_u8(u8::from(kind == Kind::Below) | u8::from(allow) << 1);
    hasher.write(name);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lists: &[&str], blocked: &[&str], allowed: &[&str]) -> Table {
        let mut builder = Builder::default();
        for list in lists {
            builder.add_list(list.as_bytes()).unwrap();
        }
        blocked.iter().for_each(|name| builder.block(&name.parse().unwrap()));
        allowed.iter().for_each(|name| builder.allow(&name.parse().unwrap()));
        builder.build()
    }

    fn judge(table: &Table, name: &str) -> Option<By> {
        table.judge(&format!("{name}.").parse().unwrap())
    }

    #[test]
    fn a_name_is_blocked_by_who_says_so() {
        let first = "0.0.0.0 ads.example tracker.example\n*.wild.example\n";
        let second = "||both.example^\n@@||fine.both.example^\nads.example\n";
        let table =
            table(&[first, second], &["hand.example", "*.hand.example"], &["good.wild.example", "*.ok.example"]);
        for (name, by) in [
            ("ads.example", Some(By::List(0))),
            ("ADS.example", Some(By::List(0))),
            ("tracker.example", Some(By::List(0))),
            ("x.ads.example", None),
            ("example", None),
            ("wild.example", None),
            ("a.wild.example", Some(By::List(0))),
            ("a.b.wild.example", Some(By::List(0))),
            ("good.wild.example", None),
            ("x.good.wild.example", Some(By::List(0))),
            ("both.example", Some(By::List(1))),
            ("x.both.example", Some(By::List(1))),
            ("notboth.example", None),
            ("fine.both.example", None),
            ("x.fine.both.example", None),
            ("hand.example", Some(By::Hand)),
            ("x.hand.example", Some(By::Hand)),
        ] {
            assert_eq!(judge(&table, name), by, "{name}");
        }
        assert_eq!(table.judge(&Name::root()), None);
    }

    #[test]
    fn an_empty_table_blocks_nothing_and_costs_nothing() {
        let table = table(&[], &[], &[]);
        assert!(table.is_empty() && table.bytes() == 0);
        assert_eq!(judge(&table, "ads.example"), None);
    }

    #[test]
    fn each_of_many_is_found_and_no_other() {
        let list: String = (0..50_000).map(|n| format!("n{n}.example\n")).collect();
        let mut builder = Builder::default();
        let read = builder.add_list(list.as_bytes()).unwrap();
        assert_eq!(read, Read { names: 50_000, skipped: 0, full: false });
        let table = builder.build();
        assert_eq!(table.len(), 50_000);
        for n in 0..50_000 {
            assert!(judge(&table, &format!("n{n}.example")).is_some(), "{n}");
            assert!(judge(&table, &format!("m{n}.example")).is_none(), "{n}");
        }
        // 12 bytes each, and the index.
        assert!(table.bytes() < 50_000 * 12 + 300_000, "{}", table.bytes());
    }

    #[test]
    fn a_list_too_many_and_lines_too_long_do_no_harm() {
        let mut builder = Builder::default();
        for n in 0..MOST_LISTS {
            assert!(!builder.add_list(format!("n{n}.example\n").as_bytes()).unwrap().full);
        }
        assert!(builder.add_list(b"more.example\n".as_slice()).unwrap().full);
        let table = builder.build();
        assert_eq!(judge(&table, "n29.example"), Some(By::List(29)));
        assert_eq!(judge(&table, "more.example"), None);
        let mut builder = Builder::default();
        let long = format!("{} ads.example\nfine.example\n", "x".repeat(10_000));
        assert_eq!(builder.add_list(long.as_bytes()).unwrap().names, 1);
    }
}
