//! Backups (VPN API, section 3.9).

use serde_json::{Value, json};

use crate::{
    app::{
        Error as E,
        backups::{BackupError as B, Wrong},
    },
    backup::Refused,
    http::contract::{
        Field, Operation, REASON, optional, required,
        schema::{boolean, exactly, integer, list_of, moment, object, one_of, pattern, reference, text},
    },
};

const BACKUP: &str = "^[A-Za-z0-9._-]{1,128}$";
const HOST_KEY: &str = "^(SHA256:[A-Za-z0-9+/]{43})?$";

pub(super) fn operations() -> Vec<Operation> {
    // Both roots are the same (Open 34).
    let at = |root: [&'static str; 4], ids: [&'static str; 6]| {
        let [all, restore, file, settings] = root;
        let [list, create, put, get, read, write] = ids;
        vec![
            Operation::get(
                all,
                list,
                "Backups in the folder, newest first",
                object(&[("backups", list_of(backup_reference()))]),
            )
            .refuses([E::Backup(B::Folder(REASON.to_owned()))]),
            Operation::post(all, create, "Makes a backup before it answers", backup_reference())
                .takes(vec![optional("statistics", boolean(), "With statistics and logs; 1 unless said otherwise")])
                .refuses([
                    E::Boolean("statistics"),
                    E::Backup(B::Create(REASON.to_owned())),
                    E::Backup(B::Ftp(REASON.to_owned())),
                    E::Backup(B::Upload(REASON.to_owned())),
                ]),
            Operation::put(restore, put, "Puts a backup in the place of what is there", exactly("success"))
                .takes(vec![required("backup_name", pattern(BACKUP), "Name in the list")])
                .refuses(restore_refusals()),
            Operation::get(file, get, "The archive itself", json!({ "contentMediaType": "application/zip" }))
                .refuses([E::Backup(B::NotFound), E::Backup(B::Refused(Refused::Open(REASON.to_owned())))]),
            Operation::get(settings, read, "Schedule, number kept, FTP and SFTP servers", reference("BackupConfig")),
            Operation::put(settings, write, "Changes them; what is missing stays", reference("BackupConfig"))
                .takes(fields())
                .refuses(config_refusals()),
        ]
    };
    let mut all = at(
        ["/backups", "/backups/restore", "/backups/{file}", "/backups/config"],
        ["list_backups", "create_backup", "restore_backup", "get_backup", "get_backup_config", "update_backup_config"],
    );
    all.extend(at(
        ["/system/backups", "/system/backups/restore", "/system/backups/{file}", "/system/backups/config"],
        [
            "list_system_backups",
            "create_system_backup",
            "restore_system_backup",
            "get_system_backup",
            "get_system_backup_config",
            "update_system_backup_config",
        ],
    ));
    all
}

fn backup_reference() -> Value {
    reference("Backup")
}

pub(super) fn backup() -> Value {
    object(&[
        ("backup_name", pattern(BACKUP)),
        ("creation_date", moment()),
        ("size", json!({ "type": "number", "minimum": 0, "description": "Megabytes" })),
    ])
}

pub(super) fn config() -> Value {
    object(&[
        ("backup_to_ftp", boolean()),
        ("every_day", boolean()),
        ("every_day_hour", integer(0, 23)),
        ("every_day_minute", integer(0, 59)),
        ("every_day_statistics", boolean()),
        ("every_hour", boolean()),
        ("every_hour_minute", integer(0, 59)),
        ("every_hour_statistics", boolean()),
        ("ftp_password", text()),
        ("ftp_path", text()),
        ("ftp_server", text()),
        ("ftp_server_port", integer(1, 65_535)),
        ("ftp_user", text()),
        ("number_backups", integer(1, i64::from(crate::backup_settings::MOST_KEPT))),
        ("ftp_tls", boolean()),
        ("ftp_ca", text()),
        ("backup_to_sftp", boolean()),
        ("sftp_server", text()),
        ("sftp_server_port", integer(1, 65_535)),
        ("sftp_host_key", pattern(HOST_KEY)),
        ("sftp_user", text()),
        ("sftp_sign_in", one_of(&["", "password", "key"])),
        ("sftp_path", text()),
    ])
}

fn fields() -> Vec<Field> {
    vec![
        optional("backup_to_ftp", boolean(), "Uploads new backups; needs a passphrase, which the panel sets"),
        optional("every_day", boolean(), "Every day"),
        optional("every_day_hour", integer(0, 23), "Hour, gateway time"),
        optional("every_day_minute", integer(0, 59), "Minute"),
        optional("every_day_statistics", boolean(), "With statistics"),
        optional("every_hour", boolean(), "Every hour"),
        optional("every_hour_minute", integer(0, 59), "Minute"),
        optional("every_hour_statistics", boolean(), "With statistics"),
        optional("ftp_server", text(), "Name or address"),
        optional("ftp_server_port", integer(1, 65_535), "Port"),
        optional("ftp_user", text(), "User"),
        optional("ftp_password", text(), "Password"),
        optional("ftp_path", text(), "Folder; made where it is missing"),
        optional("number_backups", integer(1, i64::from(crate::backup_settings::MOST_KEPT)), "Older files are removed"),
        optional("ftp_tls", boolean(), "By TLS (`AUTH TLS`), or not at all"),
        optional("ftp_ca", text(), "Authorities that may vouch for the FTP server, in PEM; empty: those of the system"),
        optional("backup_to_sftp", boolean(), "Uploads new backups; needs a passphrase, which the panel sets"),
        optional("sftp_server", text(), "Name or address; another one needs password or key again"),
        optional("sftp_server_port", integer(1, 65_535), "Port"),
        optional(
            "sftp_host_key",
            pattern(HOST_KEY),
            "Fingerprint of the key that the server must have; empty: an upload fails, and tells the server's",
        ),
        optional("sftp_user", text(), "User"),
        optional("sftp_password", text(), "Takes the place of a key; never answered"),
        optional("sftp_key", text(), "Private key of OpenSSH without a passphrase, Ed25519 or ECDSA; never answered"),
        optional("sftp_path", text(), "Folder; made where it is missing"),
    ]
}

fn restore_refusals() -> Vec<E> {
    let why = || REASON.to_owned();
    [
        B::NotFound,
        B::Refused(Refused::Reader(why())),
        B::Refused(Refused::EmptyList),
        B::Refused(Refused::Empty),
        B::Refused(Refused::Count),
        B::Refused(Refused::Mismatch),
        B::Delete(why()),
        B::Refused(Refused::Open(why())),
        B::Folder(why()),
        B::File(why()),
        B::Unzip(why()),
    ]
    .map(E::Backup)
    .into_iter()
    .chain([E::Loading])
    .collect()
}

fn config_refusals() -> Vec<E> {
    let wrong = [
        Wrong::HourMinute,
        Wrong::DayHour,
        Wrong::DayMinute,
        Wrong::Number,
        Wrong::FtpServer,
        Wrong::FtpUser,
        Wrong::FtpPassword,
        Wrong::FtpPort,
        Wrong::FtpPath,
        Wrong::FtpCa,
        Wrong::SftpServer,
        Wrong::SftpPort,
        Wrong::SftpHostKey,
        Wrong::SftpUser,
        Wrong::SftpSignIn,
        Wrong::SftpKey,
        Wrong::SftpKeyPassphrase,
        Wrong::SftpPath,
    ];
    let switches = [
        "every_hour",
        "every_hour_statistics",
        "every_day",
        "every_day_statistics",
        "backup_to_ftp",
        "ftp_tls",
        "backup_to_sftp",
    ]
    .map(E::Boolean);
    wrong.into_iter().map(|wrong| E::Backup(wrong.into())).chain(switches).collect()
}
