//! `/backups` (VPN API, section 3.9).

use axum::{
    body::Body,
    extract::Request,
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    Answer, Named, Operations,
    values::{boolean, number, parsed},
};
use crate::{
    app::{
        App, Error,
        backups::{BackupFile, BackupSettings, BackupWish},
    },
    backup::FileBody,
    backup_settings::SignIn,
    http::{body::Parameters, envelope::Success, error::Refusal},
};

#[derive(Serialize)]
pub(super) struct BackupResponse {
    backup_name: String,
    creation_date: String,
    size: f64,
}

impl BackupResponse {
    fn of(app: &App, file: &BackupFile) -> Self {
        let zoned = file.written.to_zoned(app.settings().zone.clone());
        Self {
            backup_name: file.name.to_string(),
            creation_date: file.written.display_with_offset(zoned.offset()).to_string(),
            size: megabytes(file.size),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no archive is as large as that")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[derive(Serialize)]
pub(super) struct ListResponse {
    backups: Vec<BackupResponse>,
}

pub(super) async fn list(Operations(app): Operations) -> Answer<ListResponse> {
    let files = app.list_backups().await?;
    Ok(Success(ListResponse { backups: files.iter().map(|file| BackupResponse::of(&app, file)).collect() }))
}

pub(super) async fn create(Operations(app): Operations, request: Request) -> Answer<BackupResponse> {
    let sent = Parameters::read(request).await?;
    let statistics = sent.given("statistics", boolean);
    let statistics = *statistics.or(Error::Boolean("statistics"))?.unwrap_or(&true);
    let file = app.make_backup(statistics).await?;
    Ok(Success(BackupResponse::of(&app, &file)))
}

pub(super) async fn restore(Operations(app): Operations, request: Request) -> Answer<&'static str> {
    let sent = Parameters::read(request).await?;
    // What is missing names nothing.
    let name = sent.given("backup_name", parsed::<String>);
    app.restore_backup(name.value().map_or("", String::as_str), None).await?;
    Ok(Success("success"))
}

pub(super) async fn download(Operations(app): Operations, Named(name): Named<String>) -> Result<Response, Refusal> {
    let (file, listed) = app.open_backup(&name).await?;
    let kind = [(header::CONTENT_TYPE, "application/zip")];
    Ok((kind, Body::new(FileBody::new(file, listed.size))).into_response())
}

#[derive(Serialize)]
pub(super) struct ConfigResponse {
    backup_to_ftp: bool,
    every_day: bool,
    every_day_hour: u8,
    every_day_minute: u8,
    every_day_statistics: bool,
    every_hour: bool,
    every_hour_minute: u8,
    every_hour_statistics: bool,
    ftp_password: String,
    ftp_path: String,
    ftp_server: String,
    ftp_server_port: u16,
    ftp_user: String,
    number_backups: u32,
    ftp_tls: bool,
    ftp_ca: String,
    backup_to_sftp: bool,
    sftp_server: String,
    sftp_server_port: u16,
    sftp_host_key: String,
    sftp_user: String,
    sftp_sign_in: &'static str,
    sftp_path: String,
}

impl From<BackupSettings> for ConfigResponse {
    fn from(settings: BackupSettings) -> Self {
        // Passphrase and the store that speaks S3 are ours, and no matter of this API.
        let BackupSettings { ftp, sftp, passphrase: _, s3: _, .. } = settings;
        Self {
            backup_to_ftp: ftp.enabled,
            every_day: settings.every_day,
            every_day_hour: settings.every_day_hour,
            every_day_minute: settings.every_day_minute,
            every_day_statistics: settings.every_day_statistics,
            every_hour: settings.every_hour,
            every_hour_minute: settings.every_hour_minute,
            every_hour_statistics: settings.every_hour_statistics,
            ftp_password: ftp.password.expose().to_owned(),
            ftp_path: ftp.path,
            ftp_server: ftp.server,
            ftp_server_port: ftp.port,
            ftp_user: ftp.user,
            number_backups: settings.number_backups,
            ftp_tls: ftp.tls,
            ftp_ca: ftp.ca,
            backup_to_sftp: sftp.enabled,
            sftp_server: sftp.server,
            sftp_server_port: sftp.port,
            sftp_host_key: sftp.host_key.map(|key| key.to_string()).unwrap_or_default(),
            sftp_user: sftp.user,
            sftp_sign_in: match sftp.sign_in {
                None => "",
                Some(SignIn::Password(_)) => "password",
                Some(SignIn::Key(_)) => "key",
            },
            sftp_path: sftp.path,
        }
    }
}

pub(super) async fn get_config(Operations(app): Operations) -> Answer<ConfigResponse> {
    Ok(Success(app.backup_settings().await?.into()))
}

pub(super) async fn put_config(Operations(app): Operations, request: Request) -> Answer<ConfigResponse> {
    let sent = Parameters::read(request).await?;
    let wish = BackupWish {
        every_hour: sent.given("every_hour", boolean),
        every_hour_minute: sent.given("every_hour_minute", number),
        every_hour_statistics: sent.given("every_hour_statistics", boolean),
        every_day: sent.given("every_day", boolean),
        every_day_hour: sent.given("every_day_hour", number),
        every_day_minute: sent.given("every_day_minute", number),
        every_day_statistics: sent.given("every_day_statistics", boolean),
        number_backups: sent.given("number_backups", number),
        backup_to_ftp: sent.given("backup_to_ftp", boolean),
        ftp_server: sent.given("ftp_server", parsed),
        ftp_server_port: sent.given("ftp_server_port", number),
        ftp_user: sent.given("ftp_user", parsed),
        ftp_password: sent.given_verbatim("ftp_password", parsed),
        ftp_path: sent.given("ftp_path", parsed),
        ftp_tls: sent.given("ftp_tls", boolean),
        ftp_ca: sent.given("ftp_ca", parsed),
        backup_to_sftp: sent.given("backup_to_sftp", boolean),
        sftp_server: sent.given("sftp_server", parsed),
        sftp_server_port: sent.given("sftp_server_port", number),
        sftp_host_key: sent.given_key("sftp_host_key", parsed),
        sftp_user: sent.given("sftp_user", parsed),
        sftp_password: sent.given_verbatim("sftp_password", parsed),
        sftp_key: sent.given("sftp_key", parsed),
        sftp_path: sent.given("sftp_path", parsed),
    };
    Ok(Success(app.update_backup_settings(wish).await?.into()))
}
