//! TLS towards servers: who has to vouch for them.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// What connections to a server are made with. `ca`: the authorities that may vouch for it, certificates in PEM; empty: those
/// that the system trusts. `None`: there is no certificate, or one that cannot be used.
#[must_use]
pub fn config(ca: &str, versions: &[&'static SupportedProtocolVersion]) -> Option<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).ok()?;
    let builder = match ca.is_empty() {
        true => builder.with_platform_verifier().ok()?,
        false => builder.with_root_certificates(authorities(ca)?),
    };
    Some(builder.with_no_client_auth())
}

/// The certificates of a text. `None`: there is none, or one that cannot be used.
#[must_use]
pub fn authorities(ca: &str) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}
