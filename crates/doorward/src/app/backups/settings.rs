//! Settings of backups, as the VPN API and the panel change them.

use zeroize::Zeroizing;

use super::{App, BackupError, BackupSettings, Error, Wrong};
use crate::{
    app::Given,
    backup_settings::{Secret, SignIn},
};

/// What a caller of the VPN API says of the settings; what is missing stays.
#[derive(Default)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct BackupWish {
    pub every_hour: Given<bool>,
    pub every_hour_minute: Given<u8>,
    pub every_hour_statistics: Given<bool>,
    pub every_day: Given<bool>,
    pub every_day_hour: Given<u8>,
    pub every_day_minute: Given<u8>,
    pub every_day_statistics: Given<bool>,
    pub number_backups: Given<u32>,
    pub backup_to_ftp: Given<bool>,
    pub ftp_server: Given<String>,
    pub ftp_server_port: Given<u16>,
    pub ftp_user: Given<String>,
    pub ftp_password: Given<String>,
    pub ftp_path: Given<String>,
    pub ftp_tls: Given<bool>,
    pub ftp_ca: Given<String>,
    pub backup_to_sftp: Given<bool>,
    pub sftp_server: Given<String>,
    pub sftp_server_port: Given<u16>,
    pub sftp_host_key: Given<String>,
    pub sftp_user: Given<String>,
    pub sftp_password: Given<String>,
    pub sftp_key: Given<String>,
    pub sftp_path: Given<String>,
}

impl BackupWish {
    /// Changes the settings; whether they can be is for [`BackupSettings::check`].
    fn change(self, settings: &mut BackupSettings) -> Result<(), Error> {
        let wrong = |wrong: Wrong| Error::Backup(wrong.into());
        set(&mut settings.every_hour_minute, self.every_hour_minute, wrong(Wrong::HourMinute))?;
        set(&mut settings.every_day_hour, self.every_day_hour, wrong(Wrong::DayHour))?;
        set(&mut settings.every_day_minute, self.every_day_minute, wrong(Wrong::DayMinute))?;
        set(&mut settings.number_backups, self.number_backups, wrong(Wrong::Number))?;
        set(&mut settings.every_hour, self.every_hour, Error::Boolean("every_hour"))?;
        set(&mut settings.every_hour_statistics, self.every_hour_statistics, Error::Boolean("every_hour_statistics"))?;
        set(&mut settings.every_day, self.every_day, Error::Boolean("every_day"))?;
        set(&mut settings.every_day_statistics, self.every_day_statistics, Error::Boolean("every_day_statistics"))?;
        set(&mut settings.ftp.enabled, self.backup_to_ftp, Error::Boolean("backup_to_ftp"))?;
        set(&mut settings.ftp.server, self.ftp_server, wrong(Wrong::FtpServer))?;
        set(&mut settings.ftp.user, self.ftp_user, wrong(Wrong::FtpUser))?;
        let mut password = settings.ftp.password.expose().to_owned();
        set(&mut password, self.ftp_password, wrong(Wrong::FtpPassword))?;
        settings.ftp.password = Secret::new(password);
        set(&mut settings.ftp.port, self.ftp_server_port, wrong(Wrong::FtpPort))?;
        set(&mut settings.ftp.path, self.ftp_path, wrong(Wrong::FtpPath))?;
        set(&mut settings.ftp.tls, self.ftp_tls, Error::Boolean("ftp_tls"))?;
        set(&mut settings.ftp.ca, self.ftp_ca, wrong(Wrong::FtpCa))?;
        let sftp = &mut settings.sftp;
        let before = sftp.clone();
        set(&mut sftp.enabled, self.backup_to_sftp, Error::Boolean("backup_to_sftp"))?;
        set(&mut sftp.server, self.sftp_server, wrong(Wrong::SftpServer))?;
        set(&mut sftp.port, self.sftp_server_port, wrong(Wrong::SftpPort))?;
        set(&mut sftp.user, self.sftp_user, wrong(Wrong::SftpUser))?;
        set(&mut sftp.path, self.sftp_path, wrong(Wrong::SftpPath))?;
        let mut host_key = sftp.host_key.map(|key| key.to_string()).unwrap_or_default();
        set(&mut host_key, self.sftp_host_key, wrong(Wrong::SftpHostKey))?;
        sftp.host_key = if host_key.is_empty() { None } else { Some(host_key.parse().map_err(wrong)?) };
        let (mut password, mut key) = (String::new(), String::new());
        set(&mut password, self.sftp_password, wrong(Wrong::SftpSignIn))?;
        set(&mut key, self.sftp_key, wrong(Wrong::SftpKey))?;
        let given = SignIn::of(&password, &Zeroizing::new(key)).map_err(wrong)?;
        // It is for the server that it was given for, and no answer shows it.
        sftp.sign_in = given.or_else(|| before.sign_in.clone().filter(|_| sftp.is_where(&before)));
        Ok(())
    }
}

fn set<T>(place: &mut T, given: Given<T>, refusal: Error) -> Result<(), Error> {
    match given {
        Given::Missing => {}
        Given::Wrong => return Err(refusal),
        Given::Is(value) => *place = value,
    }
    Ok(())
}

impl App {
    /// The settings.
    ///
    /// # Errors
    /// The store failed.
    pub async fn backup_settings(&self) -> Result<BackupSettings, Error> {
        Ok(self.store().backup_record().await.map_err(Error::Store)?.settings)
    }

    /// Changes what a caller of the VPN API says.
    ///
    /// # Errors
    /// [`Wrong`], in the order of the API's list; [`Error::Boolean`]; the store failed.
    pub async fn update_backup_settings(&self, wish: BackupWish) -> Result<BackupSettings, Error> {
        self.edit_backup_settings(move |settings| wish.change(settings)).await
    }

    /// Changes settings.
    ///
    /// # Errors
    /// What `edit` refuses; [`Wrong`]; the store failed.
    pub async fn edit_backup_settings(
        &self,
        edit: impl FnOnce(&mut BackupSettings) -> Result<(), Error> + Send + 'static,
    ) -> Result<BackupSettings, Error> {
        let app = self.clone();
        self.finish(async move {
            let _one_at_a_time = app.0.backups.edit.lock().await;
            let mut settings = app.backup_settings().await?;
            edit(&mut settings)?;
            settings.check().map_err(BackupError::Wrong)?;
            app.store().set_backup_settings(&settings).await.map_err(Error::Store)?;
            app.0.backups.changed.notify_one();
            Ok(settings)
        })
        .await
    }
}
