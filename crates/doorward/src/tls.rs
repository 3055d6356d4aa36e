//! Certificates of listeners: the operator's files, those of an authority, or one that we make; and TLS towards servers.

pub mod acme;
pub mod client;
mod served;

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

pub use self::served::Served;

/// A self-made certificate is valid this long; browsers refuse more than 825 days.
const VALID_DAYS: i64 = 800;

/// A self-made certificate is replaced this long after it was made.
const REPLACE_AFTER: Duration = Duration::from_secs(700 * 24 * 3600);

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path} is not a PEM file with a {what}")]
    Pem {
        /// Which one.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// Certificate and key do not go together, or cannot be used.
    #[error("the certificate cannot be used")]
    Unusable(#[from] rustls::Error),
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Made(#[from] rcgen::Error),
}

/// Makes *ring* what TLS is done with where a library asks for no other. Harmless to repeat.
pub fn install_provider() {
    // An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Reads the operator's certificate, or makes one in `state_dir` that is our own.
///
/// # Errors
/// Names the file that is at fault.
pub fn open(certificate: &Path, key: &Path, state_dir: &Path) -> Result<Arc<Served>, Error> {
    let (certificate, key) = files(certificate, key, state_dir)?;
    Ok(Served::new(load(&certificate, &key)?))
}

fn load(certificate: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let pem = |path: &Path, what| Error::Pem { path: path.to_owned(), what };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| pem(certificate, "certificate"))?;
    certified(chain, PrivateKeyDer::from_pem_file(key).map_err(|_| pem(key, "private key"))?)
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, Error> {
    Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?)
}

/// The operator's files, or our own.
///
/// # Errors
/// Ours cannot be made.
pub fn files(certificate: &Path, key: &Path, state_dir: &Path) -> Result<(PathBuf, PathBuf), Error> {
    match certificate.as_os_str().is_empty() {
        true => self_made(state_dir),
        false => Ok((certificate.to_owned(), key.to_owned())),
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its file.
    pub path: PathBuf,
    /// We made it: nobody else vouches for it.
    pub self_made: bool,
    /// Whose it is, as in `CN=gw.example.net`.
    pub subject: String,
    /// Who says so.
    pub issuer: String,
    /// DNS names and addresses that it is for.
    pub names: Vec<String>,
    /// Unix ms from which on it holds.
    pub begins_ms: i64,
    /// Unix ms from which on nobody trusts it.
    pub ends_ms: i64,
}

/// Reads the certificate that [`open`] would serve with.
///
/// # Errors
/// As there.
pub fn describe(certificate: &Path, key: &Path, state_dir: &Path) -> Result<Described, Error> {
    let self_made = certificate.as_os_str().is_empty();
    let (path, _) = files(certificate, key, state_dir)?;
    describe_file(&path, self_made)
}

fn describe_file(path: &Path, self_made: bool) -> Result<Described, Error> {
    let path = path.to_owned();
    let der = CertificateDer::from_pem_file(&path).ok();
    let parsed = der.as_ref().and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, parsed)) = parsed else { return Err(Error::Pem { path, what: "certificate" }) };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
    Ok(Described {
        path,
        self_made,
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names: names.unwrap_or_default(),
        begins_ms: parsed.validity().not_before.timestamp().saturating_mul(1000),
        ends_ms: parsed.validity().not_after.timestamp().saturating_mul(1000),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

fn self_made(state_dir: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let (certificate, key) = (state_dir.join("tls-certificate.pem"), state_dir.join("tls-key.pem"));
    let made = fs::metadata(&certificate).and_then(|meta| meta.modified());
    let fresh = made.is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() < REPLACE_AFTER);
    if fresh && key.is_file() {
        return Ok((certificate, key));
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let mut names = vec!["doorward".to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend((!host.is_empty() && host.is_ascii()).then(|| host.to_owned()));
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "Doorward");
    let (year, month, day) = date_in(0);
    parameters.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date_in(VALID_DAYS);
    parameters.not_after = rcgen::date_time_ymd(year, month, day);
    let pair = rcgen::KeyPair::generate()?;
    let made = parameters.self_signed(&pair)?;
    write_private(&key, pair.serialize_pem().as_bytes())?;
    write_private(&certificate, made.pem().as_bytes())?;
    tracing::info!(path = %certificate.display(), "made a certificate; clients will ask whether to trust it");
    Ok((certificate, key))
}

fn date_in(days: i64) -> (i32, u8, u8) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = today.checked_add(jiff::Span::new().days(days)).unwrap_or(today);
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

/// Whole or not at all, also when the power fails.
fn write_private(path: &Path, content: &[u8]) -> Result<(), Error> {
    let write = || {
        let new = path.with_extension("new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Path::new("");
        open(nothing, nothing, folder.path()).unwrap();
        let key = folder.path().join("tls-key.pem");
        let first = fs::read(&key).unwrap();
        open(nothing, nothing, folder.path()).unwrap();
        assert_eq!(fs::read(&key).unwrap(), first);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let described = describe(nothing, nothing, folder.path()).unwrap();
        assert_eq!((described.subject.as_str(), described.issuer.as_str()), ("CN=Doorward", "CN=Doorward"));
        assert!(
            described.self_made
                && ["localhost", "127.0.0.1", "::1"].iter().all(|name| described.names.iter().any(|n| n == name))
        );
        let days = (described.ends_ms - crate::clock::now_ms()) / 86_400_000;
        assert!((VALID_DAYS - 1..=VALID_DAYS).contains(&days), "{days}");
    }

    #[test]
    fn a_wrong_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.pem");
        fs::write(&path, "nonsense").unwrap();
        let error = open(&path, &path, folder.path()).unwrap_err().to_string();
        assert!(error.contains("mine.pem") && error.contains("certificate"), "{error}");
        assert_eq!(describe(&path, &path, folder.path()).unwrap_err().to_string(), error);
    }
}
