//! Mail over TLS: from the first byte and by STARTTLS, and never to a server whose certificate is another's.
//!
//! The gateway trusts whom the machine trusts. To have it trust a certificate that is made here, the test runs itself again
//! with `SSL_CERT_FILE`.

use std::{fs, path::Path, process::Command};

use doorward::{
    hotspot_settings::{GuestSettings, Mail, MailTls, MethodSettings},
    outbox,
};
use doorward_policy::guest::Method;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{
    databases::Database,
    house::{House, eventually},
    servers::Server,
    smtp,
};

/// Set in the process that runs inside; the folder with certificates.
const INSIDE: &str = "MAIL_TLS_TEST_INSIDE";

/// Makes an authority, a certificate for `127.0.0.1` by it, and one for another name.
fn make_certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    for (file, name) in [("right", "127.0.0.1"), ("wrong", "mail.example.org")] {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        fs::write(folder.join(format!("{file}.pem")), made.pem()).unwrap();
        fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// A mail server with one of these certificates.
fn server(folder: &Path, tls: MailTls, certificate: &str, mails: &str) -> Server {
    Server::start(|listen| {
        let mut line = smtp::command(listen, &folder.join(mails));
        let (cert, key) = match tls {
            MailTls::Starttls => ("--tlscert", "--tlskey"),
            MailTls::Tls | MailTls::None => ("--smtpscert", "--smtpskey"),
        };
        let file = |end: &str| folder.join(format!("{certificate}.{end}")).display().to_string();
        let options = [cert.to_owned(), file("pem"), key.to_owned(), file("key")];
        // Behind `python3 -m aiosmtpd`.
        line.splice(3..3, options);
        line
    })
}

fn guests(server: &Server, tls: MailTls) -> GuestSettings {
    let mail = Mail {
        host: server.address.ip().to_string(),
        port: server.address.port(),
        tls,
        username: String::new(),
        password: String::new(),
        from: "wifi@hotel.example".to_owned(),
    };
    GuestSettings { mail: Some(mail), ..GuestSettings::default() }
}

async fn both_ways(folder: &Path) {
    for (n, (tls, word)) in (7..).zip([(MailTls::Tls, "tls"), (MailTls::Starttls, "starttls")]) {
        let impostor = server(folder, tls, "wrong", &format!("{word}-wrong"));
        let house = House::with(Database::sqlite(), |settings, of_guests| {
            settings.methods = vec![MethodSettings { code: true, ..MethodSettings::new(Method::Email) }];
            *of_guests = guests(&impostor, tls);
        })
        .await;
        outbox::spawn(house.app.clone());
        let guest = house.guest(n);
        let form = guest.get("/").await.form("/login/email");
        guest.press(&form.with("email", "guest@example.com")).await.is(303);
        let error = eventually("an error", async || house.app.outbox_state().await.unwrap().errors.pop()).await;
        assert!(error.starts_with("the mail server: "), "{word}: {error}");
        assert!(smtp::mails(&folder.join(format!("{word}-wrong"))).is_empty(), "{word}: nothing goes to an impostor");

        // The message waits, and goes to the right one.
        let right = server(folder, tls, "right", word);
        house.app.set_guest_settings(guests(&right, tls)).await.unwrap();
        let mail = eventually("a mail", async || smtp::mails(&folder.join(word)).pop()).await;
        assert!(smtp::code(&mail).is_some(), "{word}: {mail}");
    }
    // A server that offers no encryption gets nothing either.
    let plain = Server::start(|listen| smtp::command(listen, &folder.join("plain")));
    let house = House::with(Database::sqlite(), |settings, of_guests| {
        settings.methods = vec![MethodSettings { code: true, ..MethodSettings::new(Method::Email) }];
        *of_guests = guests(&plain, MailTls::Starttls);
    })
    .await;
    outbox::spawn(house.app.clone());
    let guest = house.guest(9);
    let form = guest.get("/").await.form("/login/email");
    guest.press(&form.with("email", "guest@example.com")).await.is(303);
    eventually("an error", async || house.app.outbox_state().await.unwrap().errors.pop()).await;
    assert!(smtp::mails(&folder.join("plain")).is_empty());
}

#[test]
fn mail_goes_over_tls_to_the_right_server_alone() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(both_ways(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mail_tls::mail_goes_over_tls_to_the_right_server_alone", "--nocapture"])
        .env(INSIDE, folder.path())
        .env("SSL_CERT_FILE", folder.path().join("ca.pem"))
        .status()
        .unwrap();
    assert!(status.success(), "failed inside");
}
