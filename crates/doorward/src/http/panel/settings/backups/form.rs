//! The form of the page Backups.

use super::super::{Form, secret, typed};
use crate::{
    app::{
        Error,
        backups::{BackupSettings, Passphrase, Wrong},
    },
    backup_settings::{Ftp, S3, Secret, Sftp, SignIn},
};

/// As it was typed, without secrets.
pub(super) struct Typed {
    pub(super) every_hour: bool,
    pub(super) every_hour_minute: String,
    pub(super) every_hour_statistics: bool,
    pub(super) every_day: bool,
    pub(super) every_day_hour: String,
    pub(super) every_day_minute: String,
    pub(super) every_day_statistics: bool,
    pub(super) number: String,
    pub(super) ftp: bool,
    pub(super) ftp_server: String,
    pub(super) ftp_port: String,
    pub(super) ftp_user: String,
    pub(super) ftp_path: String,
    pub(super) ftp_tls: bool,
    pub(super) ftp_ca: String,
    pub(super) sftp: bool,
    pub(super) sftp_server: String,
    pub(super) sftp_port: String,
    pub(super) sftp_host_key: String,
    pub(super) sftp_user: String,
    pub(super) sftp_path: String,
    pub(super) s3: bool,
    pub(super) s3_endpoint: String,
    pub(super) s3_region: String,
    pub(super) s3_bucket: String,
    pub(super) s3_prefix: String,
    pub(super) s3_access: String,
}

impl Typed {
    pub(super) fn of(settings: &BackupSettings) -> Self {
        let BackupSettings { ftp, sftp, s3, .. } = settings;
        Self {
            every_hour: settings.every_hour,
            every_hour_minute: settings.every_hour_minute.to_string(),
            every_hour_statistics: settings.every_hour_statistics,
            every_day: settings.every_day,
            every_day_hour: settings.every_day_hour.to_string(),
            every_day_minute: settings.every_day_minute.to_string(),
            every_day_statistics: settings.every_day_statistics,
            number: settings.number_backups.to_string(),
            ftp: ftp.enabled,
            ftp_server: ftp.server.clone(),
            ftp_port: ftp.port.to_string(),
            ftp_user: ftp.user.clone(),
            ftp_path: ftp.path.clone(),
            ftp_tls: ftp.tls,
            ftp_ca: ftp.ca.clone(),
            sftp: sftp.enabled,
            sftp_server: sftp.server.clone(),
            sftp_port: sftp.port.to_string(),
            sftp_host_key: sftp.host_key.map(|key| key.to_string()).unwrap_or_default(),
            sftp_user: sftp.user.clone(),
            sftp_path: sftp.path.clone(),
            s3: s3.enabled,
            s3_endpoint: s3.endpoint.clone(),
            s3_region: s3.region.clone(),
            s3_bucket: s3.bucket.clone(),
            s3_prefix: s3.prefix.clone(),
            s3_access: s3.access_key.clone(),
        }
    }

    pub(super) fn read(form: &Form) -> Self {
        Self {
            every_hour: form.has("every_hour"),
            every_hour_minute: typed(form, "every_hour_minute"),
            every_hour_statistics: form.has("every_hour_statistics"),
            every_day: form.has("every_day"),
            every_day_hour: typed(form, "every_day_hour"),
            every_day_minute: typed(form, "every_day_minute"),
            every_day_statistics: form.has("every_day_statistics"),
            number: typed(form, "number"),
            ftp: form.has("ftp"),
            ftp_server: typed(form, "ftp_server"),
            ftp_port: typed(form, "ftp_port"),
            ftp_user: typed(form, "ftp_user"),
            ftp_path: typed(form, "ftp_path"),
            ftp_tls: form.has("ftp_tls"),
            // As a browser sends it: one that is too long is refused, not cut.
            ftp_ca: form.trimmed("ftp_ca").replace("\r\n", "\n"),
            sftp: form.has("sftp"),
            sftp_server: typed(form, "sftp_server"),
            sftp_port: typed(form, "sftp_port"),
            sftp_host_key: typed(form, "sftp_host_key"),
            sftp_user: typed(form, "sftp_user"),
            sftp_path: typed(form, "sftp_path"),
            s3: form.has("s3"),
            s3_endpoint: typed(form, "s3_endpoint"),
            s3_region: typed(form, "s3_region"),
            s3_bucket: typed(form, "s3_bucket"),
            s3_prefix: typed(form, "s3_prefix"),
            s3_access: typed(form, "s3_access"),
        }
    }

    /// For the audit log.
    pub(super) fn words(&self) -> String {
        let hourly = if self.every_hour { format!("hourly at :{}, ", self.every_hour_minute) } else { String::new() };
        let daily = if self.every_day {
            format!("daily at {}:{}, ", self.every_day_hour, self.every_day_minute)
        } else {
            String::new()
        };
        let off = |on: bool| if on { "" } else { " (off)" };
        let ftp = if self.ftp_server.is_empty() {
            String::new()
        } else {
            let Self { ftp_server, ftp_port, ftp_user, ftp_path, ftp_ca, .. } = self;
            let tls = if self.ftp_tls { "ftp by tls" } else { "ftp" };
            let ca = if ftp_ca.is_empty() { "" } else { ", own authorities" };
            format!(", {tls} {ftp_user}@{ftp_server}:{ftp_port}/{ftp_path}{ca}{}", off(self.ftp))
        };
        let sftp = if self.sftp_server.is_empty() {
            String::new()
        } else {
            let Self { sftp_server, sftp_port, sftp_user, sftp_path, sftp_host_key, .. } = self;
            let place = format!("{sftp_user}@{sftp_server}:{sftp_port}/{sftp_path}");
            format!(", sftp {place} {sftp_host_key}{}", off(self.sftp))
        };
        let s3 = if self.s3 { format!(", s3 {} {}", self.s3_endpoint, self.s3_bucket) } else { String::new() };
        format!("{hourly}{daily}{} kept{ftp}{sftp}{s3}", self.number)
    }
}

/// Secrets of the form; what is left empty stays.
pub(super) struct Secrets {
    passphrase: Option<String>,
    remove_passphrase: bool,
    ftp_password: Option<String>,
    s3_secret: Option<String>,
    sftp_password: Option<String>,
    sftp_key: Option<String>,
}

impl Secrets {
    pub(super) fn read(form: &Form) -> Self {
        Self {
            passphrase: secret(form, "passphrase"),
            remove_passphrase: form.has("remove_passphrase"),
            ftp_password: secret(form, "ftp_password"),
            s3_secret: secret(form, "s3_secret"),
            sftp_password: secret(form, "sftp_password"),
            sftp_key: secret(form, "sftp_key"),
        }
    }
}

impl Typed {
    /// The settings of the form.
    pub(super) fn change(&self, secrets: Secrets, settings: &mut BackupSettings) -> Result<(), Error> {
        let number = |text: &str| text.parse().unwrap_or(u8::MAX);
        let wrong = |wrong: Wrong| Error::Backup(wrong.into());
        let (password, key) = (secrets.sftp_password.as_deref(), secrets.sftp_key.as_deref());
        let sign_in = SignIn::of(password.unwrap_or_default(), key.unwrap_or_default()).map_err(wrong)?;
        let host_key = match self.sftp_host_key.as_str() {
            "" => None,
            text => Some(text.parse().map_err(wrong)?),
        };
        let kept = |new: &Option<String>, old: &Secret| new.clone().map_or_else(|| old.clone(), Secret::new);
        let ftp = Ftp {
            enabled: self.ftp,
            server: self.ftp_server.clone(),
            port: self.ftp_port.parse().unwrap_or(0),
            user: self.ftp_user.clone(),
            password: kept(&secrets.ftp_password, &settings.ftp.password),
            path: self.ftp_path.clone(),
            tls: self.ftp_tls,
            ca: self.ftp_ca.clone(),
        };
        let sftp = Sftp {
            enabled: self.sftp,
            server: self.sftp_server.clone(),
            port: self.sftp_port.parse().unwrap_or(0),
            host_key,
            user: self.sftp_user.clone(),
            sign_in: sign_in.clone().or_else(|| settings.sftp.sign_in.clone()),
            path: self.sftp_path.clone(),
        };
        // A secret is for where it was given: who names another place gives it again. Port 0 is no place, and said to be wrong.
        let ftp_moved =
            secrets.ftp_password.is_none() && !ftp.password.is_empty() && ftp.port > 0 && !ftp.is_where(&settings.ftp);
        let sftp_moved = sign_in.is_none() && sftp.sign_in.is_some() && sftp.port > 0 && !sftp.is_where(&settings.sftp);
        let s3_moved = secrets.s3_secret.is_none()
            && !settings.s3.secret_key.is_empty()
            && self.s3_endpoint != settings.s3.endpoint;
        if ftp_moved || sftp_moved || s3_moved {
            return Err(Error::SecretAgain);
        }
        let passphrase = match secrets.passphrase {
            Some(text) => Some(Passphrase::new(text).ok_or(wrong(Wrong::Passphrase))?),
            None => settings.passphrase.clone().filter(|_| !secrets.remove_passphrase),
        };
        if passphrase.is_none() && (self.ftp || self.sftp || self.s3) {
            return Err(wrong(Wrong::NoPassphrase));
        }
        *settings = BackupSettings {
            every_hour: self.every_hour,
            every_hour_minute: number(&self.every_hour_minute),
            every_hour_statistics: self.every_hour_statistics,
            every_day: self.every_day,
            every_day_hour: number(&self.every_day_hour),
            every_day_minute: number(&self.every_day_minute),
            every_day_statistics: self.every_day_statistics,
            number_backups: self.number.parse().unwrap_or(0),
            passphrase,
            ftp,
            sftp,
            s3: S3 {
                enabled: self.s3,
                endpoint: self.s3_endpoint.clone(),
                region: self.s3_region.clone(),
                bucket: self.s3_bucket.clone(),
                prefix: self.s3_prefix.clone(),
                access_key: self.s3_access.clone(),
                secret_key: kept(&secrets.s3_secret, &settings.s3.secret_key),
            },
        };
        Ok(())
    }
}
