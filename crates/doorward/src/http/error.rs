//! The one file that knows status codes, and the texts of the VPN API's refusals (VPN API, sections 1.5 and 3).

use std::borrow::Cow;

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use doorward_policy::{
    dns,
    firewall::{Chain, Refused},
};

use super::envelope;
use crate::app;

/// A refusal on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    text: Cow<'static, str>,
}

impl Refusal {
    /// Its status and its text.
    pub(super) fn parts(&self) -> (StatusCode, &str) {
        (self.status, &self.text)
    }
}

const fn refusal(status: StatusCode, text: &'static str) -> Refusal {
    Refusal { status, text: Cow::Borrowed(text) }
}

pub(super) const BAD_REQUEST: Refusal = refusal(StatusCode::BAD_REQUEST, "Bad request");
pub(super) const NOT_AUTHORIZED: Refusal = refusal(StatusCode::UNAUTHORIZED, "Not authorized");
/// Ours: the original knows no such hashes (docs/api-design.md).
pub(super) const READ_ONLY: Refusal = refusal(StatusCode::FORBIDDEN, "The access hash may only read");
pub(super) const NOT_FOUND: Refusal = refusal(StatusCode::NOT_FOUND, "Not found");
pub(super) const TOO_MANY_REQUESTS: Refusal = refusal(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
pub(super) const INTERNAL: Refusal = refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal error");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        envelope::failure(self.status, &self.text)
    }
}

impl From<app::Error> for Refusal {
    fn from(error: app::Error) -> Self {
        use crate::backup::Refused as R;
        use app::{Error as E, backups::BackupError as B};
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const MISSING: StatusCode = StatusCode::NOT_FOUND;
        const COLLIDES: StatusCode = StatusCode::CONFLICT;
        const WRONG: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
        let (status, text) = match error {
            E::Loading => (COLLIDES, "PUQVPNCP status not OK"),
            E::StatisticsFrequency => {
                (WRONG, "Incorrect value Traffic Statistics Frequency (should be 1 to 2147483647)")
            }
            E::StatisticsHistory => (WRONG, "Incorrect value Traffic Statistics History (should be 0 to 2147483647)"),
            E::HandshakeUptime => (WRONG, "Incorrect value Wireguard Handshake Uptime (should be 1 to 300)"),

            E::ServerNotFound => (MISSING, "Wireguard server not found"),
            E::ServerAmbiguous => (COLLIDES, "Wireguard server not found"),
            E::ServerHasAccounts => (COLLIDES, "Cannot be deleted. There are active peers."),
            E::AccountsOutside => (COLLIDES, "The IP address is not within the range of the wireguard server"),
            E::InterfaceName => (WRONG, "Wrong network interface name (wgXXX)"),
            E::InterfaceTaken => (COLLIDES, "Interface already in use"),
            E::PortTaken => (COLLIDES, "Port already in use"),
            E::Port => (WRONG, "Wrong Port format"),
            E::ExternalIp | E::AccountIp => (WRONG, "Wrong external IP format"),
            E::SubnetTaken => (COLLIDES, "IP address or subnet already in use"),
            E::Dns1 => (WRONG, "Wrong DNS1 IP format"),
            E::Dns2 => (WRONG, "Wrong DNS2 IP format"),
            E::Mtu => (WRONG, "Wrong MTU (0-9100)"),
            E::Keepalive => (WRONG, "Wrong keepalive (0-2147483647)"),
            E::AllowedIps => (WRONG, "Wrong allowed IPs format"),
            E::Endpoint => (WRONG, "Wrong endpoint format"),

            E::AccountNotFound => (MISSING, "Account not found"),
            E::AccountLimit => (FORBIDDEN, "VPN account limit exceeded"),
            E::ServerNotValid => (WRONG, "Wireguard server not valid"),
            E::ServerGone => (COLLIDES, "Wireguard server not valid"),
            E::NameTaken => (COLLIDES, "The name is already in use"),
            E::Name => (WRONG, "Wrong name (only letters, numbers and '_', '-')"),
            E::UsernameTaken => (COLLIDES, "The username is already in use"),
            E::Username => (WRONG, "Wrong Username (only letters, numbers and '_', '-')"),
            E::Ip => (WRONG, "Wrong IP format"),
            E::AddressTaken => (COLLIDES, "IP address already in use"),
            E::AddressOutside => (WRONG, "The IP address is not within the range of the wireguard server"),
            E::Keys => (WRONG, "Keys are invalid"),
            E::AccountStatus => (WRONG, "Wrong status (enable|disable)"),
            E::Password => (WRONG, "Wrong password"),
            E::Bandwidth => (WRONG, "Bandwidth must be within 0-10000"),
            E::Boolean(parameter) => {
                let text = format!("Wrong value of {parameter} (1|0|true|false)");
                return Self { status: WRONG, text: Cow::Owned(text) };
            }
            E::ExpiresAt => (WRONG, "Wrong expires_at (RFC 3339 with offset)"),
            E::QuotaBytes => (WRONG, "Wrong quota_bytes (0-9223372036854775807)"),
            E::QuotaPeriod => (WRONG, "Wrong quota_period (none|day|week|month)"),
            E::QuotaPeriodAlone => (WRONG, "Wrong quota_period (needs quota_bytes)"),
            E::PresharedKey => (WRONG, "Wrong preshared_key (44 characters of base64)"),

            E::Protocol => (WRONG, "Protocol must be tcp or udp"),
            E::DstPort => (WRONG, "DST port must be within 1-65535"),
            E::ToPort => (WRONG, "To port must be within 1-65535"),
            E::ForwardTaken => (COLLIDES, "DST port and protocol are already enabled"),
            E::ForwardIsListenPort => (WRONG, "DstPort cannot be ListenPort"),
            E::Peer => (WRONG, "Entered incorrect peer"),
            E::ForwardNotFound => (MISSING, "There is no such port forwarding"),
            E::ProtocolInPath => (WRONG, "Incorrect protocol parameter (tcp|udp)"),
            E::PortInPath => (WRONG, "Incorrect dst_port parameter"),

            E::FirewallPolicy(Chain::Input) => (WRONG, "Wrong parameter: INPUT policy, should be: ACCEPT or DROP"),
            E::FirewallPolicy(Chain::Forward) => (WRONG, "Wrong parameter: FORWARD policy, should be: ACCEPT or DROP"),
            E::FirewallPolicy(Chain::Output) => (WRONG, "Wrong parameter: OUTPUT policy, should be: ACCEPT or DROP"),
            E::Firewall(Refused::Name) => (WRONG, "Wrong rule name. Must be letters and numbers only"),
            E::Firewall(Refused::NameTaken) => (COLLIDES, "A rule with the same name already exists"),
            E::Firewall(Refused::Missing) => (MISSING, "No rule found with given name"),
            E::Firewall(Refused::Families) => (WRONG, "Source and destination must be of the same IP version"),
            E::Firewall(Refused::Ports) => (WRONG, "Ports need protocol TCP, UDP or ANY"),
            E::Firewall(Refused::Full) => (COLLIDES, "Too many rules (200)"),
            E::RuleChain => (WRONG, "Not correct Chain"),
            E::RuleDestination => (WRONG, "Destination IP must be in CIDR format"),
            E::RuleSource => (WRONG, "Source IP must be in CIDR format"),
            E::RuleAction => (WRONG, "Not correct Action"),
            E::RuleProtocol => (WRONG, "Not correct Protocol"),
            E::RuleSourcePort => (WRONG, "Source port must be within 0-65535"),
            E::RuleDestinationPort => (WRONG, "Destination port must be within 0-65535"),
            E::SystemRule => (FORBIDDEN, "You cannot delete this rule. ONLY name=system_PUQVPNCP"),

            E::Forwarder(1) => (WRONG, "Incorrect data in Forwarder1 parameters"),
            E::Forwarder(_) => (WRONG, "Incorrect data in Forwarder2 parameters"),
            E::Dns(dns::Refused::CacheTtl) => (WRONG, "Incorrect data in Max cache TTL parameters"),

            E::Month => (WRONG, "Wrong month setting"),
            E::Year => (WRONG, "Wrong year setting"),

            E::Backup(error) => {
                let status = match &error {
                    B::NotFound => MISSING,
                    B::Refused(R::Open(_)) => StatusCode::INTERNAL_SERVER_ERROR,
                    B::Refused(R::Reader(_) | R::EmptyList | R::Empty | R::Count | R::Mismatch) | B::Wrong(_) => WRONG,
                    B::Create(_)
                    | B::Ftp(_)
                    | B::Sftp(_)
                    | B::Trial(_)
                    | B::Upload(_)
                    | B::Delete(_)
                    | B::Folder(_)
                    | B::File(_)
                    | B::Unzip(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                return Self { status, text: Cow::Owned(error.to_string()) };
            }

            // The VPN API knows no hotspots, and chooses nothing of a link.
            E::Hotspot(_) | E::LinkNotFound | E::LinkUses | E::LinkDays => return internal(&error),
            // Nor operators and vouchers, and it makes no hashes.
            E::GuestNotFound
            | E::NotOnline
            | E::VoucherNotFound
            | E::VoucherUnusable(_)
            | E::VoucherNoEnd
            | E::FormReused
            | E::HashNotFound
            | E::HashAddress
            | E::HashDays
            | E::OperatorNotFound
            | E::OperatorPassword
            | E::OldPassword
            | E::OwnRole
            | E::LastAdmin
            | E::SecondFactor
            | E::Passkey
            | E::PasskeyLabel => return internal(&error),
            E::SecretAgain
            | E::TestRecipient
            | E::Unsent(_)
            | E::Cloud(_)
            | E::Dns(_)
            | E::Settings(_)
            | E::Store(_)
            | E::Kernel(_)
            | E::Failed(_) => return internal(&error),
        };
        refusal(status, text)
    }
}

/// The cause goes to the log, not to the caller.
fn internal(error: &app::Error) -> Refusal {
    let mut causes = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes += &format!(": {cause}");
        source = cause.source();
    }
    tracing::error!("{error}{causes}");
    INTERNAL
}
