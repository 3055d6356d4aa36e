//! The certificate of the management listener.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

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
pub fn server_config(certificate: &Path, key: &Path, state_dir: &Path) -> Result<Arc<ServerConfig>, Error> {
    let (certificate, key) = if certificate.as_os_str().is_empty() {
        self_made(state_dir)?
    } else {
        (certificate.to_owned(), key.to_owned())
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(Error::Pem { path: certificate, what: "certificate" })?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(|_| Error::Pem { path: key, what: "private key" })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
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
        server_config(nothing, nothing, folder.path()).unwrap();
        let key = folder.path().join("tls-key.pem");
        let first = fs::read(&key).unwrap();
        server_config(nothing, nothing, folder.path()).unwrap();
        assert_eq!(fs::read(&key).unwrap(), first);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_wrong_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.pem");
        fs::write(&path, "nonsense").unwrap();
        let error = server_config(&path, &path, folder.path()).unwrap_err().to_string();
        assert!(error.contains("mine.pem") && error.contains("certificate"), "{error}");
    }
}
