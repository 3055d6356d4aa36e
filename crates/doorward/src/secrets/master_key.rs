//! The key that seals what the database holds.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    ChaCha20Poly1305, Nonce,
    aead::{Aead, KeyInit, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Error;

/// Name of the key below the folder of systemd's credentials.
const CREDENTIAL: &str = "doorward.key";
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
/// First byte of a sealed value; another one would mean another way of sealing.
const VERSION: u8 = 1;

/// Where a sealed value stands. It goes into the seal, so that a value moved to another row does not open.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Table.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// What names the row for ever: an account's or server's name.
    pub owner: &'a str,
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        // No table, column or name holds a zero byte.
        ["doorward", self.table, self.column, self.owner].join("\0").into_bytes()
    }
}

/// The master key: 32 random bytes. Never shown by `Debug`; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; KEY_LEN]);

impl MasterKey {
    /// Takes the bytes of a key.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// Reads the key: from `doorward.key` in `credentials` (what systemd gives in `$CREDENTIALS_DIRECTORY`) if it is
    /// there, else from `file`, which is made on first start.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Mode`] and [`Error::Size`] name the file that cannot be used.
    pub fn load(file: &Path, credentials: Option<&Path>) -> Result<Self, Error> {
        if let Some(credential) = credentials.map(|folder| folder.join(CREDENTIAL)) {
            // systemd guards the folder itself, and shows the group's bits when it lets a user in by an ACL.
            if let Some(key) = read(&credential, 0o007)? {
                return Ok(key);
            }
        }
        if let Some(key) = read(file, 0o077)? {
            return Ok(key);
        }
        make(file)?;
        read(file, 0o077)?.ok_or_else(|| Error::File { path: file.to_owned(), source: ErrorKind::NotFound.into() })
    }

    /// Seals a secret for its place in the database: a version byte, a random nonce, ChaCha20-Poly1305.
    ///
    /// # Errors
    /// [`Error::Random`] where the system has no random numbers.
    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = super::random::<NONCE_LEN>()?;
        let payload = Payload { msg: secret, aad: &place.bytes() };
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), payload).map_err(|_| Error::Sealed)?;
        Ok([&[VERSION], &nonce[..], &sealed].concat())
    }

    /// Opens what [`Self::seal`] made for the same place.
    ///
    /// # Errors
    /// [`Error::Sealed`] for anything else.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(Error::Sealed)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(Error::Sealed)?;
        let payload = Payload { msg: rest, aad: &place.bytes() };
        let secret = self.cipher().decrypt(&Nonce::from(*nonce), payload).map_err(|_| Error::Sealed)?;
        Ok(Zeroizing::new(secret))
    }

    /// A digest for its place in the database that nobody can compute without the key: HMAC-SHA-256.
    #[must_use]
    pub fn digest(&self, place: Place<'_>, secret: &[u8]) -> [u8; 32] {
        // What HMAC does with a key that is shorter than its block.
        let mut block = Zeroizing::new([0; 64]);
        block[..KEY_LEN].copy_from_slice(&self.0);
        let mac = Hmac::<Sha256>::new((&*block).into()).chain_update(place.bytes()).chain_update([0]);
        mac.chain_update(secret).finalize().into_bytes().into()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&self.0).into())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// Reads a key file, if there is one. None of the bits in `forbidden` may be set in its mode.
fn read(path: &Path, forbidden: u32) -> Result<Option<MasterKey>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(Error::Mode { path: path.to_owned(), mode });
    }
    if metadata.len() != KEY_LEN as u64 {
        return Err(Error::Size { path: path.to_owned(), size: metadata.len() });
    }
    let mut bytes = [0; KEY_LEN];
    file.read_exact(&mut bytes).map_err(failed)?;
    let key = MasterKey(bytes);
    bytes.zeroize();
    Ok(Some(key))
}

/// Makes a key file. It appears whole and on disk, or not at all; a key that somebody else made meanwhile stays.
fn make(path: &Path) -> Result<(), Error> {
    let new = PathBuf::from(format!("{}.{}.new", path.display(), std::process::id()));
    let write = || {
        let key = Zeroizing::new(super::random::<KEY_LEN>().map_err(std::io::Error::other)?);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&*key)?;
        file.sync_all()?;
        match fs::hard_link(&new, path) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        fs::remove_file(&new)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&new);
        Error::File { path: path.to_owned(), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { table: "accounts", column: "secrets", owner: "peer_1" };

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_sealed_value_opens_at_its_place_only() {
        let key = MasterKey::from_bytes([7; 32]);
        let sealed = key.seal(PLACE, b"secret").unwrap();
        assert_eq!(key.open(PLACE, &sealed).unwrap().as_slice(), b"secret");
        assert_ne!(sealed, key.seal(PLACE, b"secret").unwrap(), "a nonce of its own");
        for place in [
            Place { table: "vpn_servers", ..PLACE },
            Place { column: "private_key", ..PLACE },
            Place { owner: "peer_2", ..PLACE },
        ] {
            assert!(matches!(key.open(place, &sealed), Err(Error::Sealed)), "{place:?}");
        }
        assert!(matches!(MasterKey::from_bytes([8; 32]).open(PLACE, &sealed), Err(Error::Sealed)));
        for i in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[i] ^= 1;
            assert!(matches!(key.open(PLACE, &broken), Err(Error::Sealed)), "byte {i}");
            assert!(matches!(key.open(PLACE, &sealed[..i]), Err(Error::Sealed)), "cut at {i}");
        }
    }

    #[test]
    fn a_digest_is_of_key_place_and_secret() {
        let key = MasterKey::from_bytes([7; 32]);
        let digest = key.digest(PLACE, b"123456");
        assert_eq!(digest, key.digest(PLACE, b"123456"));
        assert_ne!(digest, key.digest(PLACE, b"123457"));
        assert_ne!(digest, key.digest(Place { owner: "peer_2", ..PLACE }, b"123456"));
        assert_ne!(digest, MasterKey::from_bytes([8; 32]).digest(PLACE, b"123456"));
    }

    #[test]
    fn the_key_is_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        let key = MasterKey::load(&file, None).unwrap();
        assert_eq!(mode(&file), 0o600);
        assert_eq!(fs::read(&file).unwrap().len(), 32);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        let sealed = key.seal(PLACE, b"x").unwrap();
        assert!(MasterKey::load(&file, None).unwrap().open(PLACE, &sealed).is_ok());
    }

    #[test]
    fn a_credential_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        fs::write(folder.path().join(CREDENTIAL), [9; 32]).unwrap();
        fs::set_permissions(folder.path().join(CREDENTIAL), fs::Permissions::from_mode(0o440)).unwrap();
        let key = MasterKey::load(&file, Some(folder.path())).unwrap();
        assert_eq!(key.0, [9; 32]);
        assert!(!file.exists());
    }

    #[test]
    fn an_open_or_cut_key_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        MasterKey::load(&file, None).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::load(&file, None), Err(Error::Mode { mode: 0o640, .. })));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, [1; 31]).unwrap();
        assert!(matches!(MasterKey::load(&file, None), Err(Error::Size { size: 31, .. })));
        assert!(matches!(MasterKey::load(&folder.path().join("no/key"), None), Err(Error::File { .. })));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", MasterKey::from_bytes([7; 32])), "MasterKey(…)");
    }
}
