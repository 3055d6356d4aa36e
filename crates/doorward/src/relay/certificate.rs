//! The relay's certificate, read anew when its files change, so that a renewal needs no restart.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::tls::Error;

/// Time between looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate and its key, as they are now.
#[derive(Debug)]
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    pub(super) fn load(chain: PathBuf, key: PathBuf) -> Result<Arc<Self>, Error> {
        let current = RwLock::new(read(&chain, &key)?);
        Ok(Arc::new(Self { chain, key, current }))
    }

    /// Looks at the files for ever. What cannot be used is logged, and the last good one stays.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut seen = self.stamp();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamp();
            if now == seen {
                continue;
            }
            match read(&self.chain, &self.key) {
                Ok(new) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
                    tracing::info!("the certificate was read anew");
                    seen = now;
                }
                // Perhaps the other file is still to come: looked at again, and told again when it changes.
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the new certificate is not used")
                }
            }
        }
    }

    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.chain, &self.key].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(chain: &PathBuf, key: &PathBuf) -> Result<Arc<CertifiedKey>, Error> {
    let certificates = CertificateDer::pem_file_iter(chain).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.ok().filter(|chain| !chain.is_empty());
    let certificates = certificates.ok_or_else(|| Error::Pem { path: chain.clone(), what: "certificate" })?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|_| Error::Pem { path: key.clone(), what: "private key" })?;
    let provider = rustls::crypto::ring::default_provider();
    Ok(Arc::new(CertifiedKey::from_der(certificates, private, &provider)?))
}
