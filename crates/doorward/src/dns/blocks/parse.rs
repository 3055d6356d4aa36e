//! Lines of block lists, as they are published.

use std::net::IpAddr;

/// Which names are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// That one.
    Exact,
    /// All below it.
    Below,
    /// That one and all below it.
    Both,
}

/// One name of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Which names are meant.
    pub kind: Kind,
    /// It is answered, whatever else that list says.
    pub allow: bool,
    /// Without a dot at the end, in any letters.
    pub name: &'a [u8],
}

/// The line says something that is no name to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoName;

/// Names that every hosts file has and that nobody means to block.
const OF_HOSTS: [&[u8]; 9] = [
    b"localhost",
    b"localhost.localdomain",
    b"local",
    b"broadcasthost",
    b"ip6-localhost",
    b"ip6-loopback",
    b"ip6-localnet",
    b"ip6-allnodes",
    b"ip6-allrouters",
];

/// Longest name, in bytes.
const MOST: usize = 253;
const MOST_LABEL: usize = 63;

/// The names of one line. Comments and empty lines have none.
pub(super) fn line(line: &[u8]) -> Result<Vec<Entry<'_>>, NoName> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.first().is_none_or(|first| matches!(first, b'#' | b'!' | b'[')) {
        return Ok(Vec::new());
    }
    let mut words = line[..end(line)].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next().ok_or(NoName)?;
    if let Some(address) = std::str::from_utf8(first).ok().and_then(|word| word.parse::<IpAddr>().ok()) {
        // A hosts file that leads a name to a place does not mean to block it.
        if !(address.is_unspecified() || address.is_loopback()) {
            return Err(NoName);
        }
        let entry = |name| Entry { kind: Kind::Exact, allow: false, name };
        let of_machine = |name: &&[u8]| OF_HOSTS.iter().any(|own| own.eq_ignore_ascii_case(name)) || *name == first;
        let names: Vec<_> = words.filter(|name| !of_machine(name)).map(entry).collect();
        return if names.iter().all(|entry| is_name(entry.name)) { Ok(names) } else { Err(NoName) };
    }
    let entry = filter(first)?;
    if words.next().is_some() || !is_name(entry.name) { Err(NoName) } else { Ok(vec![entry]) }
}

/// Where a comment behind a name begins.
fn end(line: &[u8]) -> usize {
    let begins = |at: &usize| line[*at] == b'#' && line[..*at].last().is_some_and(u8::is_ascii_whitespace);
    (1..line.len()).find(begins).unwrap_or(line.len())
}

/// A name with the marks of filter lists around it.
fn filter(word: &[u8]) -> Result<Entry<'_>, NoName> {
    let (allow, word) = match word.strip_prefix(b"@@") {
        Some(word) => (true, word),
        None => (false, word),
    };
    let (both, word) = match word.strip_prefix(b"||") {
        Some(rest) => {
            let rest = rest.strip_suffix(b"$important").unwrap_or(rest);
            (true, rest.strip_suffix(b"^").or_else(|| rest.strip_suffix(b"^|")).ok_or(NoName)?)
        }
        None if allow => return Err(NoName),
        None => (false, word),
    };
    Ok(match word.strip_prefix(b"*.") {
        Some(name) => Entry { kind: Kind::Below, allow, name },
        None if both => Entry { kind: Kind::Both, allow, name: word },
        None => Entry { kind: Kind::Exact, allow, name: word.strip_suffix(b".").unwrap_or(word) },
    })
}

/// A name with two labels at least: a list never means to block all of `com`.
fn is_name(name: &[u8]) -> bool {
    let label = |label: &[u8]| {
        (1..=MOST_LABEL).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    // Addresses are no names: the last label has a letter.
    let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    name.len() <= MOST
        && name.contains(&b'.')
        && name.split(|byte| *byte == b'.').all(label)
        && last.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(Kind, bool, String)>, NoName> {
        Ok(line(text.as_bytes())?
            .iter()
            .map(|e| (e.kind, e.allow, String::from_utf8(e.name.to_vec()).unwrap()))
            .collect())
    }

    #[test]
    fn lines_as_they_are_published() {
        use Kind::{Below, Both, Exact};
        for (text, entries) in [
            ("ads.example", vec![(Exact, false, "ads.example")]),
            ("ads.example.", vec![(Exact, false, "ads.example")]),
            ("\u{feff}ads.example # why\r\n", vec![(Exact, false, "ads.example")]),
            ("0.0.0.0 ads.example", vec![(Exact, false, "ads.example")]),
            ("127.0.0.1\tads.example\tb.example #x", vec![(Exact, false, "ads.example"), (Exact, false, "b.example")]),
            ("::1 localhost", vec![]),
            ("0.0.0.0 0.0.0.0", vec![]),
            (":: ads.example", vec![(Exact, false, "ads.example")]),
            ("*.ads.example", vec![(Below, false, "ads.example")]),
            ("||ads.example^", vec![(Both, false, "ads.example")]),
            ("||ads.example^$important", vec![(Both, false, "ads.example")]),
            ("||*.ads.example^", vec![(Below, false, "ads.example")]),
            ("@@||ads.example^", vec![(Both, true, "ads.example")]),
            ("_dns.ads.example", vec![(Exact, false, "_dns.ads.example")]),
            ("# ads.example", vec![]),
            ("! ads.example", vec![]),
            ("[Adblock Plus]", vec![]),
            ("   ", vec![]),
        ] {
            let entries: Vec<_> = entries.into_iter().map(|(k, a, n)| (k, a, n.to_owned())).collect();
            assert_eq!(read(text), Ok(entries), "{text}");
        }
        let long = format!("{}.example", "x".repeat(64));
        for text in [
            "<html>",
            "com",
            "||com^",
            "192.0.2.1 nas.example",
            "a b.example",
            "||ads.example/path",
            "||ads.example^$third-party",
            "/regex/",
            "ads..example",
            "äds.example",
            "10.0.0",
            "@@ads.example",
            "0.0.0.0 a/b.example",
            &long,
        ] {
            assert_eq!(read(text), Err(NoName), "{text}");
        }
    }
}
