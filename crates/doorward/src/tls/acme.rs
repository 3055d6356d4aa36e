//! A certificate from an ACME certification authority (RFC 8555), which looks by TLS or by DNS whether the names are ours: [`Method`].

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};
use tokio::{sync::watch, time::timeout};

use super::{Described, Error, Served, describe_file, load, write_private};
use crate::clock::now_ms;

/// Where certificates are asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// DNS names that the certificate is for.
    pub names: Vec<String>,
    /// E-mail address that the authority may write to; empty: none.
    pub contact: String,
    /// Its directory.
    pub directory: String,
    /// Roots that its own certificate is judged by; `None`: the public ones.
    pub roots: Option<PathBuf>,
    /// Account and certificate are kept here.
    pub folder: PathBuf,
}

/// How the authority is shown that the names are ours.
#[derive(Debug)]
pub enum Method {
    /// By the listener that the certificate is for, reached at port 443 of each name (TLS-ALPN-01, RFC 8737): no other port is needed.
    Tls,
    /// By TXT records of `_acme-challenge.` the domain, which another task answers for (DNS-01, RFC 8555, section 8.4): wildcards need it.
    Dns {
        /// The one domain of all names.
        domain: String,
        /// What the records say now: one text for each name while the authority looks, else none.
        texts: watch::Sender<Vec<String>>,
    },
}

/// How it goes.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What is served with; `None`: none has come yet.
    pub certificate: Option<Described>,
    /// Why the last attempt failed; empty: it did not.
    pub error: String,
    /// Unix ms of the next attempt.
    pub next_ms: i64,
}

/// Longest attempt.
const ATTEMPT: Duration = Duration::from_secs(300);
/// Longest wait for the authority to look, and to issue.
const PATIENCE: Duration = Duration::from_secs(90);
/// Wait after the first attempt that failed; doubled up to the longest, because authorities count attempts.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// What went wrong.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    #[error(transparent)]
    Files(#[from] Error),
    #[error("{0}")]
    Made(#[from] rcgen::Error),
    #[error("the authority offers no {kind:?} for {name}")]
    NoChallenge { name: String, kind: ChallengeType },
    #[error("the authority could not see that {names} is ours: {said}; {needs}")]
    NotOurs { names: String, said: String, needs: String },
    #[error("the stored account cannot be read")]
    Account(#[from] serde_json::Error),
    #[error("no answer within {} s", ATTEMPT.as_secs())]
    Late,
}

/// Serves with what is kept, and asks for a new certificate whenever two thirds of its life are over.
pub async fn keep(options: Options, method: Method, served: Arc<Served>, state: watch::Sender<State>) {
    super::install_provider();
    let mut wait = FIRST_WAIT;
    if let Some((_, described)) = kept(&options) {
        state.send_modify(|state| state.certificate = Some(described));
    }
    loop {
        let due = state.borrow().certificate.as_ref().map_or(0, renewal_ms);
        state.send_modify(|state| state.next_ms = due.max(now_ms()));
        sleep_until(due).await;
        let attempt = timeout(ATTEMPT, obtain(&options, &method, &served)).await.unwrap_or(Err(Failed::Late));
        method.end(&served);
        match attempt {
            Ok(described) => {
                tracing::info!(names = options.names.join(" "), "a certificate came from the authority");
                state.send_modify(|state| (state.certificate, state.error) = (Some(described), String::new()));
                wait = FIRST_WAIT;
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    wait_s = wait.as_secs(),
                    "no certificate from the authority"
                );
                let next_ms = now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
                state.send_modify(|state| (state.error, state.next_ms) = (error.to_string(), next_ms));
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// The certificate that is kept, if it is for these names.
#[must_use]
pub fn kept(options: &Options) -> Option<(CertifiedKey, Described)> {
    let path = options.certificate();
    let described = describe_file(&path, false).ok()?;
    let for_all = options.names.iter().all(|name| described.names.iter().any(|found| found.eq_ignore_ascii_case(name)));
    if !for_all || described.ends_ms <= now_ms() {
        return None;
    }
    Some((load(&path, &path).ok()?, described))
}

impl Options {
    /// Key and chain, in one file so that they are always of one another.
    fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn account(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    fn builder(&self) -> Result<AccountBuilder, instant_acme::Error> {
        match &self.roots {
            Some(roots) => Account::builder_with_root(roots),
            None => Account::builder(),
        }
    }
}

impl Method {
    fn kind(&self) -> ChallengeType {
        match self {
            Self::Tls => ChallengeType::TlsAlpn01,
            Self::Dns { .. } => ChallengeType::Dns01,
        }
    }

    /// What the authority finds when it looks.
    fn show(&self, served: &Served, name: &str, key: &KeyAuthorization) -> Result<(), Failed> {
        match self {
            Self::Tls => served.challenge(name, proof(name, key.digest().as_ref())?),
            Self::Dns { texts, .. } => texts.send_modify(|texts| texts.push(key.dns_value())),
        }
        Ok(())
    }

    /// Shows nothing more.
    fn end(&self, served: &Served) {
        match self {
            Self::Tls => served.end_challenges(),
            Self::Dns { texts, .. } => drop(texts.send_replace(Vec::new())),
        }
    }

    /// What the operator may have to mend.
    fn needs(&self) -> String {
        match self {
            Self::Tls => "it must reach this listener at port 443 of that name".to_owned(),
            Self::Dns { domain, .. } => format!(
                "its resolvers must reach port 53 of this host by UDP and TCP, by the record `_acme-challenge.{domain}. NS {domain}.`"
            ),
        }
    }
}

/// When two thirds of its life are over.
fn renewal_ms(certificate: &Described) -> i64 {
    let life = certificate.ends_ms.saturating_sub(certificate.begins_ms);
    certificate.begins_ms.saturating_add(life / 3 * 2)
}

async fn sleep_until(at_ms: i64) {
    // Looked at again each hour: the clock may be set.
    while let Ok(left) = u64::try_from(at_ms.saturating_sub(now_ms()))
        && left > 0
    {
        tokio::time::sleep(Duration::from_millis(left.min(3_600_000))).await;
    }
}

async fn obtain(options: &Options, method: &Method, served: &Served) -> Result<Described, Failed> {
    let account = account(options).await?;
    let names: Vec<Identifier> = options.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    // All are shown before the authority looks for one: a domain and its wildcard are shown at one name, and resolvers keep what they saw.
    for shown in [false, true] {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(method.kind()) else {
                return Err(Failed::NoChallenge { name, kind: method.kind() });
            };
            match shown {
                false => method.show(served, &name, &challenge.key_authorization())?,
                true => challenge.set_ready().await?,
            }
        }
    }
    let patience = RetryPolicy::new().timeout(PATIENCE);
    let refused = match order.poll_ready(&patience).await {
        Ok(OrderStatus::Ready) => None,
        Ok(status) => Some(format!("the order is {status:?}")),
        Err(instant_acme::Error::Api(problem)) => Some(problem.to_string()),
        Err(error) => return Err(error.into()),
    };
    if let Some(said) = refused {
        let said = seen(&mut order).await.unwrap_or(said);
        return Err(Failed::NotOurs { names: options.names.join(", "), said, needs: method.needs() });
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&patience).await?;
    let path = options.certificate();
    write_private(&path, format!("{key}\n{chain}").as_bytes())?;
    served.exchange(load(&path, &path)?);
    Ok(describe_file(&path, false)?)
}

/// What the authority says that it saw: not every one says so in the order as well (RFC 8555, section 8.2).
async fn seen(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(problem.to_string());
        }
    }
    None
}

/// What the authority is shown by TLS (RFC 8737, section 3).
fn proof(name: &str, digest: &[u8]) -> Result<CertifiedKey, Failed> {
    let mut parameters = rcgen::CertificateParams::new([name.to_owned()])?;
    parameters.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let pair = rcgen::KeyPair::generate()?;
    let made: CertificateDer<'static> = parameters.self_signed(&pair)?.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    // Not judged as one to serve with: its extension is critical, and for the authority's eyes alone.
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(Error::Unusable)?;
    Ok(CertifiedKey::new(vec![made], key))
}

/// The account that is kept, or a new one.
async fn account(options: &Options) -> Result<Account, Failed> {
    let path = options.account();
    if let Some(kept) = read(&path)? {
        return Ok(options.builder()?.from_credentials(serde_json::from_str(&kept)?).await?);
    }
    let contact = format!("mailto:{}", options.contact);
    let new = NewAccount {
        contact: if options.contact.is_empty() { &[] } else { &[&contact] },
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = options.builder()?.create(&new, options.directory.clone(), None).await?;
    fs::create_dir_all(&options.folder).map_err(|source| Error::File { path: options.folder.clone(), source })?;
    write_private(&path, serde_json::to_string(&credentials)?.as_bytes())?;
    Ok(account)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_when_two_thirds_of_its_life_are_over() {
        let certificate = Described {
            path: PathBuf::new(),
            self_made: false,
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            begins_ms: 1000,
            ends_ms: 4000,
        };
        assert_eq!(renewal_ms(&certificate), 3000);
    }
}
