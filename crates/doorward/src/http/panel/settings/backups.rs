//! Backups: the archives, making and restoring them, schedule and stores.

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request},
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use http_body_util::BodyExt as _;

use super::{Answer, Change, Failure, Form, Frame, MODULE, Routes, Seat, TABS, secret, typed};
use crate::{
    app::{
        App, Error,
        backups::{BackupError, BackupFile, BackupSettings, BackupStanding, Passphrase, Wrong},
    },
    backup::FileBody,
    backup_settings::{Ftp, S3, Secret},
    http::body::decoded,
};

pub(super) const PAGE: &str = "/settings/backups";
/// Longest wait for the next piece of an archive.
const PIECE_WAIT: Duration = Duration::from_secs(30);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, show)
        .change(PAGE, MODULE, save)
        .change("/settings/backups/make", MODULE, make)
        .change("/settings/backups/restore", MODULE, restore)
        .change("/settings/backups/delete", MODULE, delete)
        .upload("/settings/backups/upload", MODULE, upload)
        .reveal("/settings/backups/file/{name}", MODULE, download)
}

#[derive(Template)]
#[template(path = "panel/settings_backups.html")]
struct Page {
    f: Frame,
    files: Vec<BackupFile>,
    standing: BackupStanding,
    form: Typed,
    has_passphrase: bool,
    has_ftp_password: bool,
    has_s3_secret: bool,
    error: String,
}

/// As it was typed, without secrets.
struct Typed {
    every_hour: bool,
    every_hour_minute: String,
    every_hour_statistics: bool,
    every_day: bool,
    every_day_hour: String,
    every_day_minute: String,
    every_day_statistics: bool,
    number: String,
    ftp: bool,
    ftp_server: String,
    ftp_port: String,
    ftp_user: String,
    ftp_path: String,
    s3: bool,
    s3_endpoint: String,
    s3_region: String,
    s3_bucket: String,
    s3_prefix: String,
    s3_access: String,
}

impl Typed {
    fn of(settings: &BackupSettings) -> Self {
        let BackupSettings { ftp, s3, .. } = settings;
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
            s3: s3.enabled,
            s3_endpoint: s3.endpoint.clone(),
            s3_region: s3.region.clone(),
            s3_bucket: s3.bucket.clone(),
            s3_prefix: s3.prefix.clone(),
            s3_access: s3.access_key.clone(),
        }
    }

    fn read(form: &Form) -> Self {
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
            s3: form.has("s3"),
            s3_endpoint: typed(form, "s3_endpoint"),
            s3_region: typed(form, "s3_region"),
            s3_bucket: typed(form, "s3_bucket"),
            s3_prefix: typed(form, "s3_prefix"),
            s3_access: typed(form, "s3_access"),
        }
    }

    /// For the audit log.
    fn words(&self) -> String {
        let hourly = if self.every_hour { format!("hourly at :{}, ", self.every_hour_minute) } else { String::new() };
        let daily = if self.every_day {
            format!("daily at {}:{}, ", self.every_day_hour, self.every_day_minute)
        } else {
            String::new()
        };
        let ftp = if self.ftp {
            format!(", ftp {}:{}/{}", self.ftp_server, self.ftp_port, self.ftp_path)
        } else {
            String::new()
        };
        let s3 = if self.s3 { format!(", s3 {} {}", self.s3_endpoint, self.s3_bucket) } else { String::new() };
        format!("{hourly}{daily}{} kept{ftp}{s3}", self.number)
    }
}

/// Secrets of the form; what is left empty stays.
struct Secrets {
    passphrase: Option<String>,
    remove_passphrase: bool,
    ftp_password: Option<String>,
    s3_secret: Option<String>,
}

impl Typed {
    /// The settings of the form.
    fn change(&self, secrets: Secrets, settings: &mut BackupSettings) -> Result<(), Error> {
        let number = |text: &str| text.parse().unwrap_or(u8::MAX);
        let moved = |given: bool, has: bool, there: &str, before: &str| !given && has && there != before;
        // A secret is for where it was given: who names another server gives it again.
        if moved(
            secrets.ftp_password.is_some(),
            !settings.ftp.password.is_empty(),
            &self.ftp_server,
            &settings.ftp.server,
        ) || moved(
            secrets.s3_secret.is_some(),
            !settings.s3.secret_key.is_empty(),
            &self.s3_endpoint,
            &settings.s3.endpoint,
        ) {
            return Err(Error::SecretAgain);
        }
        let passphrase = match secrets.passphrase {
            Some(text) => Some(Passphrase::new(text).ok_or(Error::Backup(Wrong::Passphrase.into()))?),
            None => settings.passphrase.clone().filter(|_| !secrets.remove_passphrase),
        };
        if passphrase.is_none() && (self.ftp || self.s3) {
            return Err(Error::Backup(Wrong::NoPassphrase.into()));
        }
        let kept = |new: Option<String>, old: &Secret| new.map_or_else(|| old.clone(), Secret::new);
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
            ftp: Ftp {
                enabled: self.ftp,
                server: self.ftp_server.clone(),
                port: self.ftp_port.parse().unwrap_or(0),
                user: self.ftp_user.clone(),
                password: kept(secrets.ftp_password, &settings.ftp.password),
                path: self.ftp_path.clone(),
            },
            s3: S3 {
                enabled: self.s3,
                endpoint: self.s3_endpoint.clone(),
                region: self.s3_region.clone(),
                bucket: self.s3_bucket.clone(),
                prefix: self.s3_prefix.clone(),
                access_key: self.s3_access.clone(),
                secret_key: kept(secrets.s3_secret, &settings.s3.secret_key),
            },
        };
        Ok(())
    }
}

async fn page(seat: &Seat, form: Option<Typed>, error: String) -> Result<Page, Failure> {
    let app = seat.desk()?.view(MODULE)?;
    let (files, standing) = (app.list_backups().await?, app.backup_standing().await?);
    let settings = &standing.record.settings;
    Ok(Page {
        f: seat.frame("menu-settings"),
        files,
        form: form.unwrap_or_else(|| Typed::of(settings)),
        has_passphrase: settings.passphrase.is_some(),
        has_ftp_password: !settings.ftp.password.is_empty(),
        has_s3_secret: !settings.s3.secret_key.is_empty(),
        standing,
        error,
    })
}

impl Page {
    fn made_ms(&self, file: &BackupFile) -> i64 {
        file.written.as_millisecond()
    }
}

async fn show(seat: Seat) -> Answer {
    seat.page(&page(&seat, None, String::new()).await?)
}

async fn save(seat: Seat, form: Form) -> Answer {
    let desk = seat.desk()?;
    let typed = Typed::read(&form);
    let before = Typed::of(&desk.view(MODULE)?.backup_settings().await?).words();
    let change = Change::new("edit", "backups").before(before).after(typed.words());
    let secrets = Secrets {
        passphrase: secret(&form, "passphrase"),
        remove_passphrase: form.has("remove_passphrase"),
        ftp_password: secret(&form, "ftp_password"),
        s3_secret: secret(&form, "s3_secret"),
    };
    let wish = Typed::read(&form);
    let work = move |app: App| async move {
        app.edit_backup_settings(move |settings| wish.change(secrets, settings)).await.map(drop)
    };
    match desk.change(MODULE, change, work).await {
        Ok(()) => seat.done(PAGE, "settings-saved", &[]),
        Err(error) => {
            let error = seat.why(error)?;
            seat.again(&page(&seat, Some(typed), error).await?)
        }
    }
}

async fn make(seat: Seat, form: Form) -> Answer {
    let statistics = form.has("statistics");
    let change = Change::new("make", "backup").after(if statistics { "with statistics" } else { "without statistics" });
    match seat.desk()?.change(MODULE, change, move |app| async move { app.make_backup(statistics).await }).await {
        Ok(file) => seat.done(PAGE, "backup-made-done", &[("name", file.name.as_str())]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn restore(seat: Seat, form: Form) -> Answer {
    let name = typed(&form, "name");
    let passphrase = match secret(&form, "passphrase") {
        Some(text) => match Passphrase::new(text) {
            Some(passphrase) => Some(passphrase),
            None => return seat.warn(PAGE, "error-backup-passphrase"),
        },
        None => None,
    };
    let (change, wanted) = (Change::new("restore", &name), name.clone());
    let work = move |app: App| async move { app.restore_backup(&wanted, passphrase).await };
    match seat.desk()?.change(MODULE, change, work).await {
        Ok(()) => seat.applied(PAGE, "backup-restored", &[("name", &name)]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn delete(seat: Seat, form: Form) -> Answer {
    let name = typed(&form, "name");
    let (change, wanted) = (Change::new("delete", &name), name.clone());
    let work = move |app: App| async move { app.delete_backup(&wanted).await };
    match seat.desk()?.change(MODULE, change, work).await {
        Ok(()) => seat.done(PAGE, "backup-deleted", &[("name", &name)]),
        Err(error) => seat.refused(PAGE, error),
    }
}

/// Takes an archive piece by piece. The script says its name in a header, escaped.
async fn upload(seat: Seat, request: Request) -> Answer {
    let name = request.headers().get("x-file-name").and_then(|name| name.to_str().ok()).unwrap_or_default();
    let name: String = decoded(name.as_bytes()).unwrap_or_default().chars().take(200).collect();
    let (change, body) = (Change::new("upload", &name), request.into_body());
    let work = move |app: App| async move { receive(&app, &name, body).await };
    match seat.desk()?.change(MODULE, change, work).await {
        Ok(file) => seat.done(PAGE, "backup-uploaded", &[("name", file.name.as_str())]),
        Err(error) => seat.refused(PAGE, error),
    }
}

async fn receive(app: &App, name: &str, mut body: Body) -> Result<BackupFile, Error> {
    let broke_off = || Error::Backup(BackupError::File("the upload broke off".to_owned()));
    let mut receiving = app.receive_backup(name).await?;
    loop {
        let frame = tokio::time::timeout(PIECE_WAIT, body.frame()).await.map_err(|_| broke_off())?;
        match frame {
            Some(frame) => {
                if let Ok(bytes) = frame.map_err(|_| broke_off())?.into_data() {
                    receiving.add(bytes.into()).await?;
                }
            }
            None => return receiving.keep().await,
        }
    }
}

async fn download(seat: Seat, Path(name): Path<String>) -> Answer {
    let opened = seat.desk()?.reveal(MODULE)?.open_backup(&name).await;
    let (file, listed) = match opened {
        Err(Error::Backup(BackupError::NotFound)) => return Err(Failure::NotFound),
        opened => opened?,
    };
    // The name has no character that means something here.
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", listed.name));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_DISPOSITION, disposition.map_err(|_| Failure::Broken)?),
    ];
    Ok((headers, Body::new(FileBody::new(file, listed.size))).into_response())
}
