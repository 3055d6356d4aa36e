//! Refusals of the operations in the operator's language.

use std::error::Error as _;

use doorward_policy::{dns, firewall::Refused};

use super::invalid;
use crate::{
    app::{
        Error,
        backups::{BackupError, RemoteError, Wrong},
        cloud::CloudError,
        hotspots::HotspotError,
    },
    backup::Refused as Archive,
    cloud::dial::Why,
    hotspot_settings::Lang,
    words,
};

/// Whether it is no refusal but a failure of ours, whose cause goes to the log and not to the page.
pub(super) fn is_failure(error: &Error) -> bool {
    matches!(error, Error::Store(_) | Error::Kernel(_) | Error::Failed(_))
}

/// Writes a failure with its causes to the log.
pub(super) fn log(error: &Error) {
    let mut causes = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes += &format!(": {cause}");
        source = cause.source();
    }
    tracing::error!("panel: {error}{causes}");
}

/// What was wrong, and what to do. Where there is no text of that refusal yet, the operation's own word.
pub(super) fn text(lang: Lang, error: &Error) -> String {
    if let Error::Settings(invalid) = error {
        return invalid::text(lang, invalid);
    }
    if let Error::Hotspot(error) = error {
        return words::text(lang, hotspot(error));
    }
    if let Error::Backup(error) = error {
        return backup(lang, error);
    }
    if let Error::Unsent(why) = error {
        return words::fill(lang, "error-unsent", &[("why", why)]);
    }
    match name(error) {
        Some(name) => words::text(lang, name),
        None => error.to_string(),
    }
}

/// Name of the text of a refusal of a hotspot.
fn hotspot(error: &HotspotError) -> &'static str {
    match error {
        HotspotError::NotFound => "error-hotspot-not-found",
        HotspotError::NameTaken => "error-hotspot-name-taken",
        HotspotError::InterfaceTaken => "error-hotspot-interface-taken",
        HotspotError::Interface => "error-hotspot-interface",
        HotspotError::Address => "error-hotspot-address",
        HotspotError::AddressIpv6 => "error-hotspot-address-ipv6",
        HotspotError::SubnetTaken => "error-hotspot-subnet-taken",
        HotspotError::LanAccess => "error-hotspot-lan-access",
        HotspotError::TooMany => "error-hotspot-too-many",
        HotspotError::InUse => "error-hotspot-in-use",
        HotspotError::TooManyDevices => "error-hotspot-too-many-devices",
        HotspotError::DeviceNotFound => "error-hotspot-device-not-found",
        HotspotError::Note => "error-hotspot-note",
    }
}

fn cloud(error: &CloudError) -> &'static str {
    match error {
        CloudError::Host => "error-cloud-host",
        CloudError::Port => "error-cloud-port",
        CloudError::Ca => "error-cloud-ca",
        CloudError::Token => "error-cloud-token",
        CloudError::NotEnrolled => "error-cloud-not-enrolled",
        CloudError::NotConnected => "error-cloud-not-connected",
        CloudError::Relay(Why::Refused) => "error-cloud-refused",
        CloudError::Relay(Why::Busy) => "error-cloud-busy",
        CloudError::Relay(Why::Connect(_) | Why::Ended(_)) => "error-cloud-unreachable",
        CloudError::Relay(Why::Tls(_) | Why::Ca) => "error-cloud-tls",
        CloudError::Relay(Why::Speech(_)) => "error-cloud-speech",
    }
}

/// Name of the text of a refusal of what operators say of names.
fn names(refused: dns::Refused) -> &'static str {
    use dns::Refused as R;
    match refused {
        R::Forwarder => "error-dns-forwarder",
        R::Forwarders => "error-dns-forwarders",
        R::CacheTtl => "error-dns-ttl",
        R::RefreshHours => "error-dns-refresh",
        R::Name => "error-dns-name",
        R::Pattern => "error-dns-pattern",
        R::Data => "error-dns-data",
        R::Alias => "error-dns-alias",
        R::Taken => "error-dns-taken",
        R::Missing => "error-dns-missing",
        R::Full => "error-dns-full",
        R::Title => "error-dns-title",
        R::Url => "error-dns-url",
    }
}

/// What became of a backup; the reason stays as the program or the server said it.
fn backup(lang: Lang, error: &BackupError) -> String {
    let (name, why) = match error {
        BackupError::Sftp(why) => return remote(lang, "error-backup-upload", why),
        BackupError::Trial(why) => return remote(lang, "error-backup-trial", why),
        BackupError::Create(why) => ("error-backup-create", why.as_str()),
        BackupError::Ftp(why) | BackupError::Upload(why) => ("error-backup-upload", why.as_str()),
        BackupError::NotFound => ("error-backup-not-found", ""),
        BackupError::Refused(Archive::Reader(why) | Archive::Open(why)) => ("error-backup-archive", why.as_str()),
        BackupError::Refused(Archive::EmptyList | Archive::Empty | Archive::Count | Archive::Mismatch) => {
            ("error-backup-archive", "")
        }
        BackupError::Folder(why) | BackupError::File(why) => ("error-backup-create", why.as_str()),
        BackupError::Delete(why) | BackupError::Unzip(why) => ("error-backup-restore", why.as_str()),
        BackupError::Wrong(wrong) => return words::text(lang, backup_settings(*wrong)),
    };
    words::fill(lang, name, &[("why", why)])
}

/// `name`: the text around other reasons than the server's host key.
fn remote(lang: Lang, name: &str, error: &RemoteError) -> String {
    match error {
        RemoteError::NoHostKey(shown) => {
            words::fill(lang, "error-backup-host-key-none", &[("shown", &shown.to_string())])
        }
        RemoteError::OtherHostKey { pinned, shown } => {
            let keys = [("pinned", pinned.to_string()), ("shown", shown.to_string())];
            words::fill(lang, "error-backup-host-key-other", &keys.each_ref().map(|(name, key)| (*name, key.as_str())))
        }
        RemoteError::Other(why) => words::fill(lang, name, &[("why", why)]),
    }
}

fn backup_settings(wrong: Wrong) -> &'static str {
    match wrong {
        Wrong::HourMinute | Wrong::DayHour | Wrong::DayMinute => "error-backup-time",
        Wrong::Number => "error-backup-number",
        Wrong::FtpServer | Wrong::FtpUser | Wrong::FtpPassword | Wrong::FtpPort | Wrong::FtpPath => "error-backup-ftp",
        Wrong::FtpCa => "error-backup-ftp-ca",
        Wrong::SftpServer | Wrong::SftpUser | Wrong::SftpPort | Wrong::SftpPath => "error-backup-sftp",
        Wrong::SftpHostKey => "error-backup-sftp-host-key",
        Wrong::SftpSignIn => "error-backup-sftp-sign-in",
        Wrong::SftpKey => "error-backup-sftp-key",
        Wrong::SftpKeyPassphrase => "error-backup-sftp-key-passphrase",
        Wrong::S3Endpoint => "error-backup-s3-endpoint",
        Wrong::S3Incomplete => "error-backup-s3",
        Wrong::Passphrase => "error-backup-passphrase",
        Wrong::NoPassphrase => "error-backup-no-passphrase",
    }
}

/// Name of the text of a refusal.
fn name(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::Name | Error::Username => "error-name",
        Error::NameTaken => "error-name-taken",
        Error::OperatorPassword => "error-operator-password",
        Error::OldPassword => "error-old-password",
        Error::OwnRole => "error-own-role",
        Error::LastAdmin => "error-last-admin",
        Error::SecondFactor => "error-second-factor",
        Error::Passkey => "error-passkey",
        Error::PasskeyLabel => "error-passkey-label",
        Error::OperatorNotFound => "error-operator-not-found",
        Error::GuestNotFound => "error-guest-not-found",
        Error::NotOnline => "error-not-online",
        Error::HashNotFound => "error-hash-not-found",
        Error::HashAddress => "error-hash-address",
        Error::HashDays => "error-hash-days",
        Error::VoucherNotFound => "error-voucher-not-found",
        Error::UsernameTaken => "error-username-taken",
        Error::VoucherNoEnd => "error-voucher-no-end",
        Error::VoucherUnusable(_) => "error-voucher-unusable",
        Error::FormReused => "error-form-reused",
        Error::ServerHasAccounts => "error-vpn-server-has-accounts",
        Error::AccountsOutside => "error-vpn-accounts-outside",
        Error::InterfaceName => "error-vpn-interface-name",
        Error::InterfaceTaken => "error-vpn-interface-taken",
        Error::PortTaken => "error-vpn-port-taken",
        Error::Port => "error-vpn-port",
        Error::ExternalIp => "error-vpn-external-ip",
        Error::SubnetTaken => "error-vpn-subnet-taken",
        Error::Dns1 | Error::Dns2 => "error-vpn-dns",
        Error::Mtu => "error-vpn-mtu",
        Error::Keepalive => "error-vpn-keepalive",
        Error::AllowedIps => "error-vpn-allowed-ips",
        Error::Endpoint => "error-vpn-endpoint",
        Error::AccountNotFound => "error-vpn-account-not-found",
        Error::AccountLimit => "error-vpn-account-limit",
        Error::ServerNotFound => "error-vpn-server-not-found",
        Error::ServerNotValid | Error::ServerGone => "error-vpn-server-not-valid",
        Error::Ip => "error-vpn-ip",
        Error::AccountIp => "error-vpn-account-ip",
        Error::AddressTaken => "error-vpn-address-taken",
        Error::AddressOutside => "error-vpn-address-outside",
        Error::Keys => "error-vpn-keys",
        Error::Password => "error-vpn-password",
        Error::Bandwidth => "error-vpn-bandwidth",
        Error::ExpiresAt => "error-vpn-expires-at",
        Error::QuotaBytes => "error-vpn-quota-bytes",
        Error::QuotaPeriod => "error-vpn-quota-period",
        Error::QuotaPeriodAlone => "error-vpn-quota-period-alone",
        Error::PresharedKey => "error-vpn-preshared-key",
        Error::Protocol => "error-vpn-protocol",
        Error::DstPort => "error-vpn-dst-port",
        Error::ToPort => "error-vpn-to-port",
        Error::ForwardTaken => "error-vpn-forward-taken",
        Error::ForwardIsListenPort => "error-vpn-forward-is-listen-port",
        Error::Peer => "error-vpn-peer",
        Error::ForwardNotFound => "error-vpn-forward-not-found",
        Error::Firewall(Refused::Name) => "error-firewall-name",
        Error::Firewall(Refused::NameTaken) => "error-firewall-name-taken",
        Error::Firewall(Refused::Missing) => "error-firewall-missing",
        Error::Firewall(Refused::Families) => "error-firewall-families",
        Error::Firewall(Refused::Ports) => "error-firewall-ports",
        Error::Firewall(Refused::Full) => "error-firewall-full",
        Error::Dns(refused) => names(*refused),
        Error::RuleDestination => "error-firewall-destination",
        Error::RuleSource => "error-firewall-source",
        Error::RuleSourcePort | Error::RuleDestinationPort => "error-firewall-port",
        Error::LinkNotFound => "error-vpn-link-not-found",
        Error::LinkUses => "error-vpn-link-uses",
        Error::LinkDays => "error-vpn-link-days",
        Error::Loading => "error-vpn-loading",
        Error::StatisticsFrequency => "error-statistics-frequency",
        Error::StatisticsHistory => "error-statistics-history",
        Error::HandshakeUptime => "error-handshake-uptime",
        Error::SecretAgain => "error-secret-again",
        Error::TestRecipient => "error-test-recipient",
        Error::Cloud(error) => cloud(error),
        // No form of the panel can be refused for these, or they bring words of their own.
        Error::ServerAmbiguous
        | Error::FirewallPolicy(_)
        | Error::RuleChain
        | Error::RuleAction
        | Error::RuleProtocol
        | Error::SystemRule
        | Error::AccountStatus
        | Error::Boolean(_)
        | Error::ProtocolInPath
        | Error::PortInPath
        | Error::Month
        | Error::Year
        | Error::Hotspot(_)
        | Error::Backup(_)
        | Error::Settings(_)
        | Error::Forwarder(_)
        | Error::Unsent(_)
        | Error::Store(_)
        | Error::Kernel(_)
        | Error::Failed(_) => return None,
    })
}
