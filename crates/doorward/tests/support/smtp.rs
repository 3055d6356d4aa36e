//! A real mail server (Debian's python3-aiosmtpd), which keeps what it takes in a folder.

use std::{fs, net::SocketAddr, path::Path};

/// Program and arguments that start it; mails go to `folder`, which need not be there.
pub fn command(listen: SocketAddr, folder: &Path) -> Vec<String> {
    let words =
        ["/usr/bin/python3", "-m", "aiosmtpd", "--nosetuid", "--class", "aiosmtpd.handlers.Mailbox", "--listen"];
    let mut line: Vec<String> = words.into_iter().map(str::to_owned).collect();
    line.push(listen.to_string());
    line.push(folder.display().to_string());
    line
}

/// The mails that it took, each as it came, the first one first.
pub fn mails(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.join("new")) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).expect("a file with a time"));
    paths.iter().map(|path| fs::read_to_string(path).expect("a mail is text")).collect()
}

/// The first six digits that stand by themselves in a mail's text.
pub fn code(mail: &str) -> Option<String> {
    let text = mail.split_once("\n\n").map_or(mail, |(_, text)| text);
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.find(|word| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit())).map(str::to_owned)
}
