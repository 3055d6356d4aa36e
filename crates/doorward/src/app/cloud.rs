//! The cloud endpoint: enrolment with a relay, and how the line to it is (Hotspot API, section 1.4).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{App, Error};
pub use crate::store::CloudRecord;
use crate::{
    cloud::dial::{Dialer, Why},
    relay::wire::{Ask, Domain, RelaySecret},
    store::{self, Store},
};

/// Longest wait for the relay's answer to an order.
const ORDER_WAIT: Duration = Duration::from_secs(8);
/// Most bytes of a certificate authority's PEM.
const MOST_CA: usize = 32 * 1024;

/// Why something with the relay did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The host's name.
    #[error("the relay's host is a name such as relay.example.net")]
    Host,
    /// Its port.
    #[error("the relay's port is a number from 1 to 65535")]
    Port,
    /// The certificate authority.
    #[error("the certificate authority is no PEM text with certificates, at most 32 KiB")]
    Ca,
    /// The enrolment token.
    #[error("an enrolment token has 64 hexadecimal characters; `doorward relay token` on the relay makes one")]
    Token,
    /// There is no enrolment.
    #[error("this gateway is not enrolled with a relay")]
    NotEnrolled,
    /// The line is down.
    #[error("the relay is not connected now")]
    NotConnected,
    /// The relay did not do it, or cannot be reached.
    #[error("{0}")]
    Relay(#[from] Why),
}

/// What an operator gives to enrol.
#[derive(Clone, Default)]
pub struct CloudWish {
    /// The relay's host name.
    pub host: String,
    /// Its port; 443 as a rule.
    pub port: u16,
    /// PEM of a private certificate authority; empty: the system's.
    pub ca: String,
    /// As the relay's operator gave it.
    pub token: String,
}

/// How the line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CloudLink {
    /// Not enrolled, or switched off.
    #[default]
    Off,
    /// Dialling, or waiting to dial again.
    Connecting,
    /// Requests can come.
    Connected {
        /// Unix ms since when.
        since_ms: i64,
    },
}

/// How the line is, and was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloudStatus {
    /// Now.
    pub link: CloudLink,
    /// There and back, in microseconds, as the last ping measured it.
    pub latency_us: Option<u64>,
    /// Unix ms of the last answer of the relay.
    pub seen_ms: Option<i64>,
    /// What the last attempt ended with.
    pub error: Option<String>,
}

/// What the line is told to ask of the relay, and who waits for the answer.
pub type CloudOrder = (Ask, oneshot::Sender<()>);

/// What the application and the line share.
pub(super) struct Cloud {
    record: watch::Sender<Option<Arc<CloudRecord>>>,
    status: watch::Sender<CloudStatus>,
    orders: mpsc::Sender<CloudOrder>,
    taken: Mutex<Option<mpsc::Receiver<CloudOrder>>>,
    pub(super) edit: tokio::sync::Mutex<()>,
}

/// Reads what is stored.
pub(super) async fn load(store: &Store) -> Result<Cloud, store::Error> {
    let record = store.cloud().await?.map(Arc::new);
    let seen_ms = record.as_ref().and_then(|record| record.seen_ms);
    let (orders, taken) = mpsc::channel(1);
    Ok(Cloud {
        record: watch::Sender::new(record),
        status: watch::Sender::new(CloudStatus { seen_ms, ..CloudStatus::default() }),
        orders,
        taken: Mutex::new(Some(taken)),
        edit: tokio::sync::Mutex::new(()),
    })
}

impl App {
    /// The enrolment; `None` where there is none. Costs no query.
    #[must_use]
    pub fn cloud(&self) -> Option<Arc<CloudRecord>> {
        self.0.cloud.record.borrow().clone()
    }

    /// `https://3fa91c07de.cloud.example.net/api/`, where there is an enrolment.
    #[must_use]
    pub fn cloud_endpoint(&self) -> Option<String> {
        self.cloud().map(|record| format!("https://{}.{}/api/", record.name, record.domain))
    }

    /// The enrolment, for whoever follows its changes.
    #[must_use]
    pub fn cloud_changes(&self) -> watch::Receiver<Option<Arc<CloudRecord>>> {
        self.0.cloud.record.subscribe()
    }

    /// How the line is.
    #[must_use]
    pub fn cloud_status(&self) -> CloudStatus {
        self.0.cloud.status.borrow().clone()
    }

    /// Says how the line is; for the line.
    pub fn tell_cloud(&self, change: impl FnOnce(&mut CloudStatus)) {
        self.0.cloud.status.send_modify(change);
    }

    /// Orders for the line; once.
    #[must_use]
    pub fn take_cloud_orders(&self) -> Option<mpsc::Receiver<CloudOrder>> {
        self.0.cloud.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gets a name and a credential from a relay for a token, in the place of those of another, and switches the line on.
    ///
    /// # Errors
    /// [`CloudError`]; the store failed.
    pub async fn enrol_cloud(&self, wish: CloudWish) -> Result<(), Error> {
        let host: Domain = wish.host.parse().map_err(|_| CloudError::Host)?;
        let port = Some(wish.port).filter(|port| *port > 0).ok_or(CloudError::Port)?;
        let ca = wish.ca.trim().to_owned();
        let token: RelaySecret = wish.token.trim().parse().map_err(|_| CloudError::Token)?;
        if ca.len() > MOST_CA {
            return Err(CloudError::Ca.into());
        }
        let dialer = Dialer::new(&host, port, &ca).map_err(|_| CloudError::Ca)?;
        let app = self.clone();
        // To its end: a token is good once, and what it was given for must not get lost.
        self.finish(async move {
            let _one_at_a_time = app.0.cloud.edit.lock().await;
            let enrolled = dialer.enrol(token).await.map_err(CloudError::Relay)?;
            let record = CloudRecord {
                enabled: true,
                host,
                port,
                ca,
                domain: enrolled.domain,
                name: enrolled.name,
                credential: enrolled.credential,
                seen_ms: None,
            };
            app.keep_cloud(record).await
        })
        .await
    }

    /// Switches the line on or off; while it is off the name does not answer.
    ///
    /// # Errors
    /// [`CloudError::NotEnrolled`]; the store failed.
    pub async fn switch_cloud(&self, enabled: bool) -> Result<(), Error> {
        let app = self.clone();
        self.finish(async move {
            let _one_at_a_time = app.0.cloud.edit.lock().await;
            let record = app.cloud().ok_or(CloudError::NotEnrolled)?;
            app.keep_cloud(CloudRecord { enabled, ..record.as_ref().clone() }).await
        })
        .await
    }

    /// Asks the relay for a new name; the old one stops at once.
    ///
    /// # Errors
    /// [`CloudError::NotEnrolled`], [`CloudError::NotConnected`].
    pub async fn rotate_cloud(&self) -> Result<(), Error> {
        let old = self.cloud().ok_or(CloudError::NotEnrolled)?.name.clone();
        let ask = async {
            self.order_cloud(Ask::Rotate).await?;
            // The next line says the new one.
            while self.cloud().is_some_and(|record| record.name == old) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        };
        timeout(ORDER_WAIT, ask).await.unwrap_or(Err(CloudError::NotConnected.into()))
    }

    /// Tells the relay to forget this gateway, if it can be reached, and forgets the relay in any case.
    ///
    /// # Errors
    /// [`CloudError::NotEnrolled`]; the store failed.
    pub async fn leave_cloud(&self) -> Result<(), Error> {
        self.cloud().ok_or(CloudError::NotEnrolled)?;
        if self.order_cloud(Ask::Leave).await.is_err() {
            tracing::warn!("the relay could not be told that this gateway leaves: revoke its name there");
        }
        let app = self.clone();
        self.finish(async move {
            let _one_at_a_time = app.0.cloud.edit.lock().await;
            app.store().delete_cloud().await.map_err(Error::Store)?;
            app.0.cloud.record.send_replace(None);
            app.tell_cloud(|status| *status = CloudStatus::default());
            Ok(())
        })
        .await
    }

    /// Stores what the relay says of the name, and when it was heard. The line goes on; for the line.
    ///
    /// # Errors
    /// The store failed.
    pub async fn heard_cloud(&self, update: impl FnOnce(&mut CloudRecord)) -> Result<(), Error> {
        let _one_at_a_time = self.0.cloud.edit.lock().await;
        let Some(record) = self.cloud() else { return Ok(()) };
        let mut record = record.as_ref().clone();
        update(&mut record);
        self.store().set_cloud(&record).await.map_err(Error::Store)?;
        self.0.cloud.record.send_if_modified(|stored| {
            *stored = Some(Arc::new(record));
            false
        });
        Ok(())
    }

    /// Takes what was restored; the line follows.
    pub(super) fn replace_cloud(&self, record: Option<CloudRecord>) {
        if self.cloud().as_deref() != record.as_ref() {
            self.0.cloud.record.send_replace(record.map(Arc::new));
        }
    }

    async fn keep_cloud(&self, record: CloudRecord) -> Result<(), Error> {
        self.store().set_cloud(&record).await.map_err(Error::Store)?;
        self.0.cloud.record.send_replace(Some(Arc::new(record)));
        Ok(())
    }

    async fn order_cloud(&self, ask: Ask) -> Result<(), Error> {
        if !matches!(self.cloud_status().link, CloudLink::Connected { .. }) {
            return Err(CloudError::NotConnected.into());
        }
        let (answer, answered) = oneshot::channel();
        self.0.cloud.orders.try_send((ask, answer)).map_err(|_| CloudError::NotConnected)?;
        match timeout(ORDER_WAIT, answered).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CloudError::NotConnected.into()),
        }
    }
}
