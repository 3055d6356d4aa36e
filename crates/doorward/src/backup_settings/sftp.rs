//! Where archives go by SFTP: the server, the key by which it is known, and who signs in there.

use std::{fmt, str::FromStr, sync::Arc};

use russh::keys::{
    Algorithm, HashAlg, PrivateKey, PublicKey,
    ssh_key::{Fingerprint, LineEnding},
};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Secret, Wrong, host, plain};

/// Most bytes of a private key in its file.
pub const MOST_KEY: usize = 16 * 1024;
/// Most bytes of a fingerprint as text: that of SHA-256 has 50.
const MOST_FINGERPRINT: usize = 64;

/// An SFTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sftp {
    /// New archives go there.
    pub enabled: bool,
    /// Name or address.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// The key that the server must have. `None`: nothing is uploaded, and the server's is told.
    pub host_key: Option<HostKey>,
    /// Who signs in.
    pub user: String,
    /// With that.
    pub sign_in: Option<SignIn>,
    /// Folder; made where it is missing. Empty: where the login leads.
    pub path: String,
}

impl Default for Sftp {
    fn default() -> Self {
        Self {
            enabled: false,
            server: String::new(),
            port: 22,
            host_key: None,
            user: String::new(),
            sign_in: None,
            path: String::new(),
        }
    }
}

impl Sftp {
    /// Whether a password or key that was given for `before` may be used here: it is the same place, and not known by another
    /// key. (One that had none yet may get one.)
    #[must_use]
    pub fn is_where(&self, before: &Self) -> bool {
        let known = before.host_key.is_none() || self.host_key == before.host_key;
        (&self.server, self.port) == (&before.server, before.port) && known
    }

    pub(super) fn check(&self) -> Result<(), Wrong> {
        let Self { enabled, server, port, host_key: _, user, sign_in, path } = self;
        let good = match sign_in {
            Some(SignIn::Password(password)) => !password.is_empty() && plain(password.expose()),
            Some(SignIn::Key(_)) => true,
            None => !enabled,
        };
        for (wrong, right) in [
            (Wrong::SftpServer, host(server) && !(*enabled && server.is_empty())),
            (Wrong::SftpPort, *port > 0),
            (Wrong::SftpUser, plain(user) && !(*enabled && user.is_empty())),
            (Wrong::SftpSignIn, good),
            (Wrong::SftpPath, plain(path)),
        ] {
            if !right {
                return Err(wrong);
            }
        }
        Ok(())
    }
}

/// What somebody signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// Not empty.
    Password(Secret),
    /// A private key.
    Key(SshKey),
}

impl SignIn {
    /// Of what was given; what is empty was not. `None`: nothing was.
    ///
    /// # Errors
    /// [`Wrong::SftpSignIn`]: both were. [`Wrong::SftpKey`], [`Wrong::SftpKeyPassphrase`].
    pub fn of(password: &str, key: &str) -> Result<Option<Self>, Wrong> {
        match (password.is_empty(), key.trim().is_empty()) {
            (true, true) => Ok(None),
            (false, true) => Ok(Some(Self::Password(Secret::new(password.to_owned())))),
            (true, false) => key.parse().map(|key| Some(Self::Key(key))),
            (false, false) => Err(Wrong::SftpSignIn),
        }
    }
}

/// A private key as OpenSSH writes it: Ed25519 or ECDSA, without a passphrase. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SshKey(Arc<PrivateKey>);

impl SshKey {
    /// The key itself.
    #[must_use]
    pub fn expose(&self) -> &Arc<PrivateKey> {
        &self.0
    }
}

impl FromStr for SshKey {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        if text.len() > MOST_KEY {
            return Err(Wrong::SftpKey);
        }
        // A form sends lines as browsers end them.
        let lines = Zeroizing::new(text.trim().lines().flat_map(|line| [line.trim_end(), "\n"]).collect::<String>());
        let key = PrivateKey::from_openssh(lines.as_str()).map_err(|_| Wrong::SftpKey)?;
        if key.is_encrypted() {
            return Err(Wrong::SftpKeyPassphrase);
        }
        let usable = matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. });
        if usable { Ok(Self(Arc::new(key))) } else { Err(Wrong::SftpKey) }
    }
}

impl TryFrom<String> for SshKey {
    type Error = Wrong;

    fn try_from(text: String) -> Result<Self, Wrong> {
        Zeroizing::new(text).parse()
    }
}

impl Serialize for SshKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_openssh(LineEnding::LF).map_err(serde::ser::Error::custom)?)
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SshKey(…)")
    }
}

/// The key by which a server is known, as a fingerprint: `SHA256:` and 43 characters, as `ssh-keygen -l` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostKey([u8; 32]);

impl HostKey {
    /// The fingerprint of a key. `None` never is.
    #[must_use]
    pub fn of(key: &PublicKey) -> Option<Self> {
        key.fingerprint(HashAlg::Sha256).sha256().map(Self)
    }
}

impl FromStr for HostKey {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let parsed = (text.len() <= MOST_FINGERPRINT).then(|| text.parse::<Fingerprint>().ok()).flatten();
        parsed.and_then(Fingerprint::sha256).map(Self).ok_or(Wrong::SftpHostKey)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fingerprint::Sha256(self.0).fmt(f)
    }
}

impl TryFrom<String> for HostKey {
    type Error = Wrong;

    fn try_from(text: String) -> Result<Self, Wrong> {
        text.parse()
    }
}

impl From<HostKey> for String {
    fn from(key: HostKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A private key and its public one, as OpenSSH makes them.
    fn keygen(kind: &str, passphrase: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut command = std::process::Command::new("ssh-keygen");
        command.args(["-q", "-C", "", "-t", kind, "-N", passphrase, "-f"]).arg(&path);
        assert!(command.status().unwrap().success());
        let read = |path| std::fs::read_to_string(path).unwrap();
        (read(path.clone()), read(path.with_extension("pub")))
    }

    #[test]
    fn backup_fingerprints_are_those_of_openssh() {
        let good = "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8NM";
        assert_eq!(good.parse::<HostKey>().unwrap().to_string(), good);
        let json = format!("\"{good}\"");
        assert_eq!(serde_json::to_string(&serde_json::from_str::<HostKey>(&json).unwrap()).unwrap(), json);
        for bad in [
            "",
            "SHA256:",
            "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8N",
            "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8NM=",
            "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8N\n",
            "SHA256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8NMAAAAAAAAAAAAAAAAAAAA",
            "sha256:SvjeSHkeslr4IIKXI83IkcIcKbmsGDDB6XxFr41S8NM",
            "MD5:ba:5f:39:b9:96:5a:03:b8:8e:0f:3e:f4:b0:f7:b9:3f",
        ] {
            assert_eq!(bad.parse::<HostKey>(), Err(Wrong::SftpHostKey), "{bad:?}");
        }
    }

    #[test]
    fn backup_keys_are_read_and_never_shown() {
        for kind in ["ed25519", "ecdsa"] {
            let (text, public) = keygen(kind, "");
            let key: SshKey = text.replace('\n', "\r\n").parse().unwrap();
            assert_eq!(key.expose().public_key().to_openssh().unwrap().trim(), public.trim());
            let sign_in = SignIn::Key(key);
            let json = serde_json::to_string(&sign_in).unwrap();
            assert_eq!(serde_json::from_str::<SignIn>(&json).unwrap(), sign_in);
            let line = text.lines().nth(2).unwrap();
            assert!(json.contains(line) && !format!("{sign_in:?}").contains(line));
            let torn = text.replace(line, "");
            for bad in [&public, &torn, &text.repeat(100), &String::new(), &"tulips".to_owned(), &keygen("rsa", "").0] {
                assert_eq!(bad.parse::<SshKey>(), Err(Wrong::SftpKey), "{bad}");
            }
            assert_eq!(keygen(kind, "tulips").0.parse::<SshKey>(), Err(Wrong::SftpKeyPassphrase));
            assert_eq!(SignIn::of("p", &text), Err(Wrong::SftpSignIn));
        }
        assert_eq!(SignIn::of("", " \r\n"), Ok(None));
        assert_eq!(SignIn::of(" ", ""), Ok(Some(SignIn::Password(Secret::new(" ".to_owned())))));
    }
}
