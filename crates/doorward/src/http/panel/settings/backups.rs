//! Backups: the archives, making and restoring them, schedule and stores.

mod form;

use std::time::Duration;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, Request},
    http::{HeaderValue, header},
    response::IntoResponse as _,
};
use http_body_util::BodyExt as _;

use self::form::{Secrets, Typed};
use super::{Answer, Change, Failure, Form, Frame, MODULE, Routes, Seat, TABS, secret, typed};
use crate::{
    app::{
        App, Error,
        backups::{BackupError, BackupFile, BackupServer, BackupStanding, Passphrase, RemoteError},
        desk::DeskError,
    },
    backup::FileBody,
    backup_settings::SignIn,
    http::body::decoded,
};

pub(super) const PAGE: &str = "/settings/backups";
/// Longest wait for the next piece of an archive.
const PIECE_WAIT: Duration = Duration::from_secs(30);

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .view(PAGE, MODULE, show)
        .change(PAGE, MODULE, save)
        .change("/settings/backups/try", MODULE, try_server)
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
    has_sftp_password: bool,
    has_sftp_key: bool,
    error: String,
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
        has_sftp_password: matches!(settings.sftp.sign_in, Some(SignIn::Password(_))),
        has_sftp_key: matches!(settings.sftp.sign_in, Some(SignIn::Key(_))),
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
    let secrets = Secrets::read(&form);
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

/// Waits for what the server says, so that it can be read here and not in a log. A host key that it shows where none is pinned
/// is put into the form, for the operator to compare and save.
async fn try_server(seat: Seat, form: Form) -> Answer {
    let server = if form.text("server") == "sftp" { BackupServer::Sftp } else { BackupServer::Ftp };
    let desk = seat.desk()?;
    let stored = desk.view(MODULE)?.backup_settings().await?;
    let (word, named) = match server {
        BackupServer::Ftp => ("ftp", &stored.ftp.server),
        BackupServer::Sftp => ("sftp", &stored.sftp.server),
    };
    let change = Change::new("test", "backups").after(format!("{word} {named}"));
    match desk.change(MODULE, change, move |app| async move { app.try_backup_server(server).await }).await {
        Ok(()) => seat.done(PAGE, "backup-trial-done", &[("server", named)]),
        Err(error) => {
            let mut typed = Typed::of(&stored);
            if let DeskError::Refused(Error::Backup(BackupError::Trial(RemoteError::NoHostKey(shown)))) = &error {
                typed.sftp_host_key = shown.to_string();
            }
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
