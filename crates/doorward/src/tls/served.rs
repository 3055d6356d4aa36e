//! The certificate that a listener serves with. It can be exchanged while connections come.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Error, load};

/// The protocol of a certification authority that looks whether a name is ours (RFC 8737, section 6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What a listener serves with.
pub struct Served {
    /// `None`: handshakes are refused.
    current: RwLock<Option<Arc<CertifiedKey>>>,
    /// What a certification authority is shown, by name.
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl Served {
    /// Serves with this until it is exchanged.
    #[must_use]
    pub fn new(key: CertifiedKey) -> Arc<Self> {
        let served = Self::nothing();
        served.exchange(key);
        served
    }

    /// Refuses handshakes until there is a certificate.
    #[must_use]
    pub fn nothing() -> Arc<Self> {
        Arc::new(Self { current: RwLock::default(), challenges: RwLock::default() })
    }

    /// What a listener needs.
    ///
    /// # Errors
    /// There is no TLS.
    pub fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_TLS.to_vec()];
        Ok(Arc::new(config))
    }

    /// Serves new connections with another one.
    pub fn exchange(&self, key: CertifiedKey) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
    }

    /// Shows a certification authority that a name is ours.
    pub(super) fn challenge(&self, name: &str, key: CertifiedKey) {
        let mut all = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_ascii_lowercase(), Arc::new(key));
    }

    /// Shows it no more.
    pub(super) fn end_challenges(&self) {
        self.challenges.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Exchanges the certificate when its files change. What cannot be used is told, and the last good one stays.
    pub async fn follow(self: Arc<Self>, certificate: PathBuf, key: PathBuf) {
        let stamp = |path: &PathBuf| -> Option<(SystemTime, u64)> {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let read = || [stamp(&certificate), stamp(&key)];
        let mut known = read();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = read();
            if now == known {
                continue;
            }
            // One may have been written and the other not yet: what does not go together is tried again.
            match load(&certificate, &key) {
                Ok(loaded) => {
                    self.exchange(loaded);
                    known = now;
                    tracing::info!(path = %certificate.display(), "serving with the new certificate");
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the new certificate is not used")
                }
            }
        }
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let authority = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS));
        if authority {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.challenges.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.is_none() {
            tracing::debug!("a TLS handshake was refused: there is no certificate yet");
        }
        current
    }
}
