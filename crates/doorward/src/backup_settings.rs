//! When backups are made, how many are kept, and where they go (VPN API, section 3.9).

mod sftp;

use std::fmt;

use jiff::{Timestamp, ToSpan as _, Zoned, civil::Time, tz::TimeZone};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::sftp::{HostKey, MOST_KEY, Sftp, SignIn, SshKey};
use crate::{backup::Passphrase, tls::client};

/// Most archives that are kept.
pub const MOST_KEPT: u32 = 10_000;
/// Most characters of an address, a name and a path.
pub const MOST_TEXT: usize = 512;
/// Most bytes of the certificates of authorities.
pub const MOST_CA: usize = 32 * 1024;

/// A password or key of a store. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupSettings {
    /// Every hour.
    pub every_hour: bool,
    /// At this minute, 0 to 59.
    pub every_hour_minute: u8,
    /// With statistics.
    pub every_hour_statistics: bool,
    /// Every day.
    pub every_day: bool,
    /// At this hour of the gateway's time zone, 0 to 23.
    pub every_day_hour: u8,
    /// At this minute, 0 to 59.
    pub every_day_minute: u8,
    /// With statistics.
    pub every_day_statistics: bool,
    /// Archives that are kept in the folder, 1 to [`MOST_KEPT`].
    pub number_backups: u32,
    /// What archives are sealed with. `None`: with this machine's key; nothing leaves it then.
    pub passphrase: Option<Passphrase>,
    /// To an FTP server.
    pub ftp: Ftp,
    /// To an SFTP server.
    pub sftp: Sftp,
    /// To an S3-compatible store.
    pub s3: S3,
}

/// An FTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ftp {
    /// New archives go there.
    pub enabled: bool,
    /// Name or address.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// Over TLS (RFC 4217, `AUTH TLS`), or not at all.
    pub tls: bool,
    /// Who may vouch for the server's certificate, certificates in PEM; empty: whom the system trusts.
    pub ca: String,
    /// Who logs in.
    pub user: String,
    /// With that.
    pub password: Secret,
    /// Folder; made where it is missing. Empty: where the login leads.
    pub path: String,
}

/// A bucket of an S3-compatible store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// New archives go there.
    pub enabled: bool,
    /// `https://s3.example.net`
    pub endpoint: String,
    /// `eu-central-1`; many stores take any.
    pub region: String,
    /// The bucket's name; it stands in the path of the address.
    pub bucket: String,
    /// What names of objects begin with, as `vpn/`.
    pub prefix: String,
    /// Who signs.
    pub access_key: String,
    /// With that.
    pub secret_key: Secret,
}

impl Default for Ftp {
    fn default() -> Self {
        Self {
            enabled: false,
            server: String::new(),
            port: 21,
            tls: false,
            ca: String::new(),
            user: String::new(),
            password: Secret::default(),
            path: String::new(),
        }
    }
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            every_hour: false,
            every_hour_minute: 30,
            every_hour_statistics: false,
            every_day: false,
            every_day_hour: 3,
            every_day_minute: 0,
            every_day_statistics: true,
            number_backups: 10,
            passphrase: None,
            ftp: Ftp::default(),
            sftp: Sftp::default(),
            s3: S3::default(),
        }
    }
}

/// What is wrong with settings; the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the text of each variant says it")]
pub enum Wrong {
    #[error("In every hour schedule, the minute parameter must be between 0 and 59")]
    HourMinute,
    #[error("In the daily schedule, the hour parameter must be between 0 and 23")]
    DayHour,
    #[error("In a daily schedule, the minute parameter must be between 0 and 59")]
    DayMinute,
    #[error("Number backups parameter must be greater than 0")]
    Number,
    #[error("FTP server must be filled")]
    FtpServer,
    #[error("FTP user must be filled")]
    FtpUser,
    #[error("FTP password must be filled")]
    FtpPassword,
    #[error("FTP port must be within 1-65535")]
    FtpPort,
    #[error("Wrong FTP path")]
    FtpPath,
    #[error("FTP CA must be certificates in PEM")]
    FtpCa,
    #[error("SFTP server must be filled")]
    SftpServer,
    #[error("SFTP port must be within 1-65535")]
    SftpPort,
    #[error("SFTP host key must be a fingerprint, SHA256: and 43 characters")]
    SftpHostKey,
    #[error("SFTP user must be filled")]
    SftpUser,
    #[error("SFTP password or SFTP key must be filled, not both")]
    SftpSignIn,
    #[error("SFTP key must be a private key of OpenSSH, Ed25519 or ECDSA")]
    SftpKey,
    #[error("SFTP key must have no passphrase")]
    SftpKeyPassphrase,
    #[error("Wrong SFTP path")]
    SftpPath,
    #[error("the address of the store is http:// or https:// and a name, without a path")]
    S3Endpoint,
    #[error("the store needs bucket, access key and secret key")]
    S3Incomplete,
    #[error("a passphrase has 12 to 256 characters, no control characters")]
    Passphrase,
    #[error("backups leave the machine only with a passphrase")]
    NoPassphrase,
}

impl BackupSettings {
    /// Whether they can be.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the VPN API's list.
    pub fn check(&self) -> Result<(), Wrong> {
        let Ftp { enabled, server, port, tls: _, ca, user, password, path } = &self.ftp;
        for (wrong, right) in [
            (Wrong::HourMinute, self.every_hour_minute <= 59),
            (Wrong::DayHour, self.every_day_hour <= 23),
            (Wrong::DayMinute, self.every_day_minute <= 59),
            (Wrong::Number, (1..=MOST_KEPT).contains(&self.number_backups)),
            (Wrong::FtpServer, host(server) && !(*enabled && server.is_empty())),
            (Wrong::FtpUser, plain(user) && !(*enabled && user.is_empty())),
            (Wrong::FtpPassword, plain(password.expose()) && !(*enabled && password.is_empty())),
            (Wrong::FtpPort, *port > 0),
            (Wrong::FtpPath, plain(path)),
            (Wrong::FtpCa, ca.is_empty() || is_ca(ca)),
            (Wrong::S3Endpoint, self.s3.endpoint.is_empty() && !self.s3.enabled || self.s3.endpoint().is_some()),
            (Wrong::S3Incomplete, self.s3.is_complete()),
        ] {
            if !right {
                return Err(wrong);
            }
        }
        self.sftp.check()
    }

    /// When the next backup is due after a moment, and whether with statistics. `None`: there is no schedule.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<(Timestamp, bool)> {
        let now = after.to_zoned(zone.clone());
        let hourly = self.every_hour.then(|| next_hourly(&now, self.every_hour_minute)).flatten();
        let daily = self.every_day.then(|| next_daily(&now, self.every_day_hour, self.every_day_minute)).flatten();
        let at = hourly.into_iter().chain(daily).min()?;
        let statistics =
            (hourly == Some(at) && self.every_hour_statistics) || (daily == Some(at) && self.every_day_statistics);
        Some((at, statistics))
    }
}

impl S3 {
    /// The address, where it can be one.
    #[must_use]
    pub fn endpoint(&self) -> Option<url::Url> {
        let url: url::Url = self.endpoint.parse().ok()?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let fine = ["http", "https"].contains(&url.scheme()) && url.has_host() && bare && url.password().is_none();
        (fine && self.endpoint.len() <= MOST_TEXT).then_some(url)
    }

    fn is_complete(&self) -> bool {
        let Self { enabled, endpoint: _, region, bucket, prefix, access_key, secret_key } = self;
        let word = |text: &str| text.len() <= MOST_TEXT && text.bytes().all(|b| b.is_ascii_graphic());
        let all = [region, bucket, prefix, access_key].into_iter().all(|text| word(text)) && word(secret_key.expose());
        let needed = !(bucket.is_empty() || access_key.is_empty() || secret_key.is_empty());
        all && !bucket.contains('/') && (needed || !enabled)
    }
}

impl Ftp {
    /// Whether a password that was given for `before` may go here: it is the same place, and the way there protects no less.
    #[must_use]
    pub fn is_where(&self, before: &Self) -> bool {
        let protected = !before.tls || (self.tls && self.ca == before.ca);
        (&self.server, self.port) == (&before.server, before.port) && protected
    }
}

/// Whether a text of an operator can be told to a server.
fn plain(text: &str) -> bool {
    text.chars().count() <= MOST_TEXT && !text.chars().any(char::is_control)
}

/// Whether a text can be a server's name or address.
fn host(text: &str) -> bool {
    plain(text) && !text.contains(char::is_whitespace) && !text.contains('/')
}

/// Whether a text is certificates, and nothing odd around them.
fn is_ca(text: &str) -> bool {
    let odd = |c: char| c.is_control() && c != '\r' && c != '\n';
    // A key that was copied along would be shown to whoever reads the settings.
    let sections = |begin: &str| text.matches(begin).count();
    let only = sections("-----BEGIN ") == sections("-----BEGIN CERTIFICATE-----");
    text.len() <= MOST_CA && !text.contains(odd) && only && client::authorities(text).is_some()
}

/// The next moment with that minute; where clocks are set back, the hour comes twice, and so does the backup.
fn next_hourly(now: &Zoned, minute: u8) -> Option<Timestamp> {
    let minute = i8::try_from(minute).ok()?;
    let begin = now.with().minute(minute).second(0).subsec_nanosecond(0).build().ok()?;
    let at = if begin.timestamp() > now.timestamp() { begin } else { begin.checked_add(1.hour()).ok()? };
    Some(at.timestamp())
}

/// The next day's moment; a time that clocks leave out is as much later.
fn next_daily(now: &Zoned, hour: u8, minute: u8) -> Option<Timestamp> {
    let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
    for days in 0..=2 {
        let date = now.date().checked_add(days.days()).ok()?;
        let at = date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?.timestamp();
        if at > now.timestamp() {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(settings: &BackupSettings, after: &str) -> Option<(String, bool)> {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        settings.next(after.parse().unwrap(), &zone).map(|(at, statistics)| (at.to_string(), statistics))
    }

    #[test]
    fn backup_secrets_are_for_one_place() {
        let ftp = Ftp { server: "a".to_owned(), tls: true, ca: "x".to_owned(), ..Ftp::default() };
        assert!(Ftp { user: "u".to_owned(), path: "p".to_owned(), ..ftp.clone() }.is_where(&ftp));
        for other in [
            Ftp { server: "b".to_owned(), ..ftp.clone() },
            Ftp { port: 2121, ..ftp.clone() },
            Ftp { tls: false, ..ftp.clone() },
            Ftp { ca: String::new(), ..ftp.clone() },
        ] {
            assert!(!other.is_where(&ftp), "{other:?}");
        }
        let plain = Ftp { tls: false, ..ftp.clone() };
        assert!(ftp.is_where(&plain), "better protected");
        let pin = |c: &str| Some(format!("SHA256:{}", c.repeat(43)).parse().unwrap());
        let sftp = Sftp { server: "a".to_owned(), host_key: pin("A"), ..Sftp::default() };
        assert!(Sftp { user: "u".to_owned(), path: "p".to_owned(), ..sftp.clone() }.is_where(&sftp));
        let unpinned = Sftp { host_key: None, ..sftp.clone() };
        assert!(sftp.is_where(&unpinned), "it got its pin");
        for other in [
            unpinned,
            Sftp { server: "b".to_owned(), ..sftp.clone() },
            Sftp { port: 2222, ..sftp.clone() },
            Sftp { host_key: pin("E"), ..sftp.clone() },
        ] {
            assert!(!other.is_where(&sftp), "{other:?}");
        }
    }

    #[test]
    fn backup_authorities_are_certificates_alone() {
        let made = rcgen::generate_simple_self_signed(["ftp.example".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert!(is_ca(&certificate) && is_ca(&certificate.repeat(2)));
        for bad in ["", &key, &format!("{certificate}{key}"), &format!("{certificate}\u{1b}[0m")] {
            assert!(!is_ca(bad), "{bad}");
        }
    }

    #[test]
    fn backup_schedules() {
        let none = BackupSettings::default();
        assert_eq!(next(&none, "2030-01-02T02:00:00Z"), None);
        let daily = BackupSettings { every_day: true, ..none.clone() };
        assert_eq!(next(&daily, "2030-01-02T01:59:59Z"), Some(("2030-01-02T02:00:00Z".to_owned(), true)));
        assert_eq!(next(&daily, "2030-01-02T02:00:00Z"), Some(("2030-01-03T02:00:00Z".to_owned(), true)));
        let hourly = BackupSettings { every_hour: true, ..none.clone() };
        assert_eq!(next(&hourly, "2030-01-02T02:29:00Z"), Some(("2030-01-02T02:30:00Z".to_owned(), false)));
        assert_eq!(next(&hourly, "2030-01-02T02:30:00Z"), Some(("2030-01-02T03:30:00Z".to_owned(), false)));
        let both = BackupSettings { every_hour: true, every_hour_minute: 0, every_day: true, ..none };
        assert_eq!(
            next(&both, "2030-01-02T01:30:00Z"),
            Some(("2030-01-02T02:00:00Z".to_owned(), true)),
            "one for both"
        );
        assert_eq!(next(&both, "2030-01-02T02:30:00Z"), Some(("2030-01-02T03:00:00Z".to_owned(), false)));
        // Clocks go from 02:00 to 03:00 on 2030-03-31: a time between is an hour later, and the next day's is right again.
        let gap = BackupSettings { every_day_hour: 2, every_day_minute: 30, ..daily };
        assert_eq!(next(&gap, "2030-03-31T00:00:00Z"), Some(("2030-03-31T01:30:00Z".to_owned(), true)));
        assert_eq!(next(&gap, "2030-03-31T01:30:00Z"), Some(("2030-04-01T00:30:00Z".to_owned(), true)));
        // And back on 2030-10-27: the hour comes twice, the day's backup once.
        assert_eq!(next(&gap, "2030-10-27T00:31:00Z"), Some(("2030-10-28T01:30:00Z".to_owned(), true)));
    }

    #[test]
    fn backup_settings_are_judged_in_order() {
        let good = BackupSettings::default();
        assert_eq!(good.check(), Ok(()));
        let bad = BackupSettings { every_hour_minute: 60, every_day_hour: 24, ..good.clone() };
        assert_eq!(bad.check(), Err(Wrong::HourMinute));
        let ftp = |server: &str, user: &str| BackupSettings {
            ftp: Ftp { enabled: true, server: server.to_owned(), user: user.to_owned(), ..Ftp::default() },
            ..BackupSettings::default()
        };
        assert_eq!(ftp("", "").check(), Err(Wrong::FtpServer));
        assert_eq!(ftp("ftp.example.net", "").check(), Err(Wrong::FtpUser));
        assert_eq!(ftp("ftp.example.net", "u").check(), Err(Wrong::FtpPassword));
        assert_eq!(ftp("ftp.example.net", "a\r\nDELE x").check(), Err(Wrong::FtpUser));
        let s3 = |endpoint: &str| BackupSettings {
            s3: S3 { enabled: true, endpoint: endpoint.to_owned(), ..S3::default() },
            ..BackupSettings::default()
        };
        assert_eq!(s3("ftp://x").check(), Err(Wrong::S3Endpoint));
        assert_eq!(s3("https://s3.example.net/bucket").check(), Err(Wrong::S3Endpoint));
        assert_eq!(s3("https://s3.example.net").check(), Err(Wrong::S3Incomplete));
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<BackupSettings>(&text).unwrap(), good);
    }
}
