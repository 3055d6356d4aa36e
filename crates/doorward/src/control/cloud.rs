//! What the command line is told of the cloud endpoint.

use serde::{Deserialize, Serialize};

use crate::app::{App, cloud::CloudLink};

/// The cloud endpoint, as `doorward cloud status` shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloudLine {
    /// `https://…/api/`; empty without an enrolment.
    pub endpoint: String,
    /// `host:port`; empty without an enrolment.
    pub relay: String,
    /// `not enrolled`, `off`, `connecting` or `connected`.
    pub state: String,
    /// Unix ms since when it is connected.
    pub since_ms: Option<i64>,
    /// There and back, in microseconds.
    pub latency_us: Option<u64>,
    /// Unix ms of the relay's last answer.
    pub seen_ms: Option<i64>,
    /// What the last attempt ended with.
    pub error: Option<String>,
}

impl CloudLine {
    pub(super) fn of(app: &App) -> Self {
        let (record, status) = (app.cloud(), app.cloud_status());
        let (state, since_ms) = match (&record, status.link) {
            (None, _) => ("not enrolled", None),
            (Some(record), _) if !record.enabled => ("off", None),
            (Some(_), CloudLink::Connected { since_ms }) => ("connected", Some(since_ms)),
            (Some(_), CloudLink::Connecting | CloudLink::Off) => ("connecting", None),
        };
        Self {
            endpoint: app.cloud_endpoint().unwrap_or_default(),
            relay: record.map(|record| format!("{}:{}", record.host, record.port)).unwrap_or_default(),
            state: state.to_owned(),
            since_ms,
            latency_us: status.latency_us,
            seen_ms: status.seen_ms,
            error: status.error,
        }
    }
}
