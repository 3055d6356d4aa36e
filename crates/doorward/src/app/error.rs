//! Why an operation was refused.

use doorward_policy::{
    dns,
    firewall::{Chain, Refused},
};

use super::{backups::BackupError, cloud::CloudError, hotspots::HotspotError};
use crate::{hotspot_settings::Invalid, reconcile, store};

/// Closed list of refusals. What each is called on a wire, and with which status, is the face's affair.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant says it")]
pub enum Error {
    #[error("a start, reload or restore is running")]
    Loading,
    #[error("traffic_statistics_frequency is not within its range")]
    StatisticsFrequency,
    #[error("traffic_statistics_history is not within its range")]
    StatisticsHistory,
    #[error("wireguard_handshake_uptime is not within its range")]
    HandshakeUptime,

    #[error("no such server")]
    ServerNotFound,
    #[error("several servers would do")]
    ServerAmbiguous,
    #[error("the server still has accounts")]
    ServerHasAccounts,
    #[error("accounts lie outside the new subnet")]
    AccountsOutside,
    #[error("not an interface name of the form wgN")]
    InterfaceName,
    #[error("the interface is taken")]
    InterfaceTaken,
    #[error("the port is taken")]
    PortTaken,
    #[error("not a port")]
    Port,
    #[error("not an external address")]
    ExternalIp,
    #[error("the subnet overlaps another")]
    SubnetTaken,
    #[error("not an address for resolver 1")]
    Dns1,
    #[error("not an address for resolver 2")]
    Dns2,
    #[error("not an MTU")]
    Mtu,
    #[error("not a keepalive")]
    Keepalive,
    #[error("not a list of subnets")]
    AllowedIps,
    #[error("not an endpoint")]
    Endpoint,

    #[error("no such account")]
    AccountNotFound,
    #[error("no more accounts are allowed")]
    AccountLimit,
    #[error("no server of that name")]
    ServerNotValid,
    #[error("the account's server is gone")]
    ServerGone,
    #[error("the name is taken")]
    NameTaken,
    #[error("not a name")]
    Name,
    #[error("the user name is taken")]
    UsernameTaken,
    #[error("not a user name")]
    Username,
    #[error("not an address")]
    Ip,
    #[error("not an address for an account")]
    AccountIp,
    #[error("the address is taken")]
    AddressTaken,
    #[error("the address is not the server's to give")]
    AddressOutside,
    #[error("the keys do not fit")]
    Keys,
    #[error("not a status")]
    AccountStatus,
    #[error("not a password")]
    Password,
    #[error("not a bandwidth")]
    Bandwidth,
    #[error("{0} is not a boolean")]
    Boolean(&'static str),
    #[error("not a moment")]
    ExpiresAt,
    #[error("not a quota")]
    QuotaBytes,
    #[error("not a quota period")]
    QuotaPeriod,
    #[error("a quota period without a quota")]
    QuotaPeriodAlone,
    #[error("not a preshared key")]
    PresharedKey,

    #[error("not a protocol")]
    Protocol,
    #[error("not a port to be forwarded")]
    DstPort,
    #[error("not a port at the account")]
    ToPort,
    #[error("the port is forwarded already")]
    ForwardTaken,
    #[error("the port is a listen port")]
    ForwardIsListenPort,
    #[error("not an account of the server")]
    Peer,
    #[error("no such port forwarding")]
    ForwardNotFound,
    #[error("the path names no protocol")]
    ProtocolInPath,
    #[error("the path names no port")]
    PortInPath,

    #[error("not a policy")]
    FirewallPolicy(Chain),
    #[error(transparent)]
    Firewall(#[from] Refused),
    #[error(transparent)]
    Dns(#[from] dns::Refused),
    #[error("forwarder {0} is no address")]
    Forwarder(u8),
    #[error("not a chain")]
    RuleChain,
    #[error("not a network that packets go to")]
    RuleDestination,
    #[error("not a network that packets come from")]
    RuleSource,
    #[error("not an action")]
    RuleAction,
    #[error("not a protocol of a rule")]
    RuleProtocol,
    #[error("not a source port")]
    RuleSourcePort,
    #[error("not a destination port")]
    RuleDestinationPort,
    #[error("the rule is the system's")]
    SystemRule,

    #[error("no such one-time link")]
    LinkNotFound,
    #[error("a one-time link can be used 1 to 1000 times")]
    LinkUses,
    #[error("a one-time link lives for 1 to 3650 days")]
    LinkDays,

    #[error("no voucher has that user name")]
    VoucherNotFound,
    #[error("{0}")]
    VoucherUnusable(&'static str),
    #[error("the voucher has no end that could be moved")]
    VoucherNoEnd,
    #[error("the form was sent before with other values")]
    FormReused,
    #[error("nobody is known by that")]
    GuestNotFound,
    #[error("the device is not online any more")]
    NotOnline,
    #[error("no such access hash")]
    HashNotFound,
    #[error("not a list of 1 to 64 addresses and networks")]
    HashAddress,
    #[error("an access hash lives for 1 to 3650 days, or without end")]
    HashDays,
    #[error("no such operator")]
    OperatorNotFound,
    #[error("a password has 12 to 256 characters, no control characters, and is not the name")]
    OperatorPassword,
    #[error("the old password is wrong")]
    OldPassword,
    #[error("nobody changes their own role or locks themselves out")]
    OwnRole,
    #[error("the last admin stays")]
    LastAdmin,
    #[error("the code of the second factor is wrong")]
    SecondFactor,
    #[error("the passkey was not accepted")]
    Passkey,
    #[error("a passkey needs a name of at most 60 characters")]
    PasskeyLabel,

    #[error("not a month")]
    Month,
    #[error("not a year")]
    Year,

    #[error(transparent)]
    Hotspot(#[from] HotspotError),
    #[error(transparent)]
    Cloud(#[from] CloudError),
    #[error(transparent)]
    Backup(#[from] BackupError),

    #[error("a secret is kept for where it was given; give it again")]
    SecretAgain,
    #[error("not somebody to send a test to")]
    TestRecipient,
    #[error("the test could not be sent: {0}")]
    Unsent(String),

    #[error("the settings cannot be: {0}")]
    Settings(#[from] Invalid),

    #[error("the store failed")]
    Store(#[source] store::Error),
    #[error("the kernel could not be read")]
    Kernel(#[from] reconcile::ReadError),
    #[error("{0}")]
    Failed(&'static str),
}
