//! Names that are not answered: all of all lists in one sorted table of digests, 12 bytes each, so that a million cost little
//! and a question costs a few steps, however many lists there are.
//!
//! A digest of 64 bits with a key of its own for each table stands for a name: nobody who writes lists can aim at another's.

mod parse;

use std::{
    collections::{BTreeSet, hash_map::RandomState},
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

/// Lists of one table at most: the bits of a mask.
pub const MOST_LISTS: usize = 32;
/// Digests begin with these many bits of the index.
const INDEX_BITS: u32 = 16;

/// What a table says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The list that was added as this one, from 0, blocks it.
    Blocked(usize),
    /// A list that does not block it says that it is answered.
    Allowed,
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
    /// Whether there is a name in a list.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn has_name(mut lines: impl BufRead) -> io::Result<bool> {
        let mut rest = Vec::new();
        while let Some(line) = next_line(&mut lines, &mut rest)? {
            if line.is_some_and(|line| parse::line(line).is_ok_and(|entries| !entries.is_empty())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a list: lines of a hosts file, plain names, `*.name`, `||name^`, and `@@||name^` for what that list does not mean.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn add_list(&mut self, mut lines: impl BufRead) -> io::Result<Read> {
        let mut read = Read::default();
        let mask = if self.lists < MOST_LISTS { 1 << self.lists } else { 0 };
        self.lists += 1;
        let mut rest = Vec::new();
        while let Some(line) = next_line(&mut lines, &mut rest)? {
            let Ok(entries) = line.map_or(Err(parse::NoName), parse::line) else {
                read.skipped += 1;
                continue;
            };
            for entry in entries {
                if self.entries.len() >= MOST_NAMES || mask == 0 {
                    read.full = true;
                    return Ok(read);
                }
                read.names += 1;
                self.put(&entry, mask);
            }
        }
        Ok(read)
    }

    /// Adds what is said by hand, as a list of its own.
    pub fn add_names(&mut self, blocked: &BTreeSet<Pattern>, allowed: &BTreeSet<Pattern>) {
        let sides = [(blocked, false), (allowed, true)];
        for (pattern, allow) in sides.into_iter().flat_map(|(names, allow)| names.iter().map(move |name| (name, allow)))
        {
            let kind = if pattern.below { Kind::Below } else { Kind::Exact };
            self.put(&Entry { kind, allow, name: pattern.name.as_str().as_bytes() }, 1 << self.lists);
        }
        self.lists += 1;
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

    /// What is said of a name; `None`: nothing.
    #[must_use]
    pub fn judge(&self, name: &Name) -> Option<Verdict> {
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
        let (blocked, allowed) = (self.all(&text, false), self.all(&text, true));
        match (blocked & !allowed, allowed) {
            (0, 0) => None,
            (0, _) => Some(Verdict::Allowed),
            (left, _) => usize::try_from(left.trailing_zeros()).ok().map(Verdict::Blocked),
        }
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

/// The next line, which `line` holds; `Some(None)`: one that is too long. `None`: that was all.
fn next_line<'a>(lines: &mut impl BufRead, line: &'a mut Vec<u8>) -> io::Result<Option<Option<&'a [u8]>>> {
    line.clear();
    let mut long = false;
    loop {
        if io::Read::take(&mut *lines, MOST_LINE).read_until(b'\n', line)? == 0 {
            return Ok(if long {
                Some(None)
            } else if line.is_empty() {
                None
            } else {
                Some(Some(line))
            });
        }
        if line.ends_with(b"\n") {
            return Ok(Some((!long).then_some(line.as_slice())));
        }
        if line.len() as u64 >= MOST_LINE {
            (long, *line) = (true, Vec::new());
        }
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

    fn table(lists: &[&str]) -> Table {
        let mut builder = Builder::default();
        for list in lists {
            builder.add_list(list.as_bytes()).unwrap();
        }
        builder.build()
    }

    fn judge(table: &Table, name: &str) -> Option<Verdict> {
        table.judge(&format!("{name}.").parse().unwrap())
    }

    fn names(names: &[&str]) -> BTreeSet<Pattern> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_is_blocked_by_who_says_so() {
        let first = "0.0.0.0 ads.example tracker.example\n*.wild.example\n";
        let second = "||both.example^\n@@||fine.both.example^\nads.example\n";
        let mut builder = Builder::default();
        builder.add_list(first.as_bytes()).unwrap();
        builder.add_list(second.as_bytes()).unwrap();
        builder.add_names(&names(&["hand.example", "*.hand.example"]), &names(&["good.hand.example", "fine.example"]));
        let table = builder.build();
        let list = |n| Some(Verdict::Blocked(n));
        for (name, by) in [
            ("ads.example", list(0)),
            ("ADS.example", list(0)),
            ("tracker.example", list(0)),
            ("x.ads.example", None),
            ("example", None),
            ("wild.example", None),
            ("a.wild.example", list(0)),
            ("a.b.wild.example", list(0)),
            ("both.example", list(1)),
            ("x.both.example", list(1)),
            ("notboth.example", None),
            ("fine.both.example", Some(Verdict::Allowed)),
            ("x.fine.both.example", Some(Verdict::Allowed)),
            ("hand.example", list(2)),
            ("x.hand.example", list(2)),
            ("good.hand.example", Some(Verdict::Allowed)),
            ("x.good.hand.example", list(2)),
            ("fine.example", Some(Verdict::Allowed)),
        ] {
            assert_eq!(judge(&table, name), by, "{name}");
        }
        assert_eq!(table.judge(&Name::root()), None);
    }

    #[test]
    fn an_empty_table_blocks_nothing_and_costs_nothing() {
        let table = table(&[]);
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
        assert_eq!(judge(&table, "n31.example"), Some(Verdict::Blocked(31)));
        assert_eq!(judge(&table, "more.example"), None);
        let mut builder = Builder::default();
        // The rest of a long line is none of its own.
        let filler = "x".repeat(4_096 * 2);
        let long =
            format!("#{}bad.example\n{filler} ads.example\nfine.example\n# {filler}\nlast.example", &filler[1..4_096]);
        let read = builder.add_list(long.as_bytes()).unwrap();
        assert_eq!(read, Read { names: 2, skipped: 3, full: false });
        let table = builder.build();
        assert!(judge(&table, "bad.example").is_none() && judge(&table, "last.example").is_some());
        assert!(
            Builder::has_name(long.as_bytes()).unwrap() && !Builder::has_name(b"# no\n<html>\n".as_slice()).unwrap()
        );
    }
}
