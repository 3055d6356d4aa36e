//! The section `[acme]`.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Config, Error};
use crate::tls::acme;

/// The directory of Let's Encrypt.
pub(crate) const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// A certificate of the management listener from a certification authority that speaks ACME (RFC 8555).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Acme {
    /// DNS names of the certificate, 1 to 20; empty: none is asked for. The authority must reach the listener at port 443 of each.
    pub names: Vec<String>,
    /// E-mail address that the authority may write to.
    pub contact: String,
    /// The authority's directory.
    pub directory: String,
    /// You agree to the terms of service of the authority.
    pub terms_agreed: bool,
    /// PEM file with the root that the directory itself is judged by; empty: the public ones.
    pub roots: PathBuf,
}

impl Default for Acme {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            contact: String::new(),
            directory: LETS_ENCRYPT.to_owned(),
            terms_agreed: false,
            roots: PathBuf::new(),
        }
    }
}

impl Config {
    /// Where a certificate is asked for, if one is.
    ///
    /// # Errors
    /// Something of `acme` cannot be used.
    pub fn acme(&self) -> Result<Option<acme::Options>, Error> {
        let unusable = |key, why: String| Err(Error::Unusable { key, why });
        let Acme { names, contact, directory, terms_agreed, roots } = &self.acme;
        if names.is_empty() {
            return Ok(None);
        }
        let label = |label: &str| {
            let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
        };
        let is_name = |name: &str| name.len() <= 253 && name.contains('.') && name.split('.').all(label);
        if let Some(name) = names.iter().find(|name| !is_name(name) || name.parse::<IpAddr>().is_ok()) {
            return unusable("acme.names", format!("{name:?} is no DNS name such as vpn.example.net"));
        }
        if names.len() > 20 {
            return unusable("acme.names", format!("{} names are more than 20", names.len()));
        }
        check_authority(contact, directory, *terms_agreed)?;
        if !self.management.tls_certificate.as_os_str().is_empty() {
            return unusable(
                "acme.names",
                "management.tls_certificate is set: a listener has one certificate".to_owned(),
            );
        }
        if self.management.listen.is_empty() {
            return unusable("acme.names", "management.listen has no address to serve it at".to_owned());
        }
        Ok(Some(acme::Options {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            contact: contact.clone(),
            directory: directory.clone(),
            roots: (!roots.as_os_str().is_empty()).then(|| roots.clone()),
            folder: self.state_dir.join("acme"),
        }))
    }
}

/// Whether an authority can be asked: what gateway and relay say of it alike.
///
/// # Errors
/// Names the key and the value.
pub(crate) fn check_authority(contact: &str, directory: &str, terms_agreed: bool) -> Result<(), Error> {
    let unusable = |key, why: String| Err(Error::Unusable { key, why });
    if !terms_agreed {
        return unusable("acme.terms_agreed", "must be true: the authority asks for it".to_owned());
    }
    if !directory.starts_with("https://") {
        return unusable("acme.directory", format!("{directory:?} does not begin with https://"));
    }
    if !contact.is_empty() && (!contact.contains('@') || contact.chars().any(|c| c.is_control() || c == ' ')) {
        return unusable("acme.contact", format!("{contact:?} is no e-mail address"));
    }
    Ok(())
}
