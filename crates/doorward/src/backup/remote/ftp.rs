//! FTP (RFC 959), in passive mode; by TLS where that is wanted (RFC 4217), commands and files alike.

use std::{
    fs::File,
    io::Read,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use suppaftp::{FtpError, Mode, RustlsConnector, RustlsFtpStream, types::FileType};

use super::{STEP_WAIT, Stop, bare, hide, said};
use crate::{backup::BackupName, backup_settings::Ftp, tls::client};

/// Most folders of a path.
const MOST_FOLDERS: usize = 32;

/// Uploads; blocks, until `stop` says that nobody waits for it any more. The file has another name until it is whole.
pub(super) fn upload(ftp: &Ftp, file: File, name: &BackupName, stop: &Stop) -> Result<(), String> {
    with_server(ftp, stop, |stream| store(stream, &mut Stoppable { file, stop }, name))
}

/// Signs in and makes the folder; blocks.
pub(super) fn try_out(ftp: &Ftp, stop: &Stop) -> Result<(), String> {
    with_server(ftp, stop, |_| Ok(()))
}

/// Does something in the folder.
fn with_server(
    ftp: &Ftp,
    stop: &Stop,
    work: impl FnOnce(&mut RustlsFtpStream) -> Result<(), FtpError>,
) -> Result<(), String> {
    let mut stream = connect(ftp, stop)?;
    let done = enter(&mut stream, ftp).and_then(|()| work(&mut stream));
    drop(stream.quit());
    done.map_err(|error| describe(&error, ftp.password.expose()))
}

fn connect(ftp: &Ftp, stop: &Stop) -> Result<RustlsFtpStream, String> {
    let host = bare(&ftp.server);
    let addresses = (host, ftp.port).to_socket_addrs().map_err(|_| "the server's name is not known".to_owned())?;
    let mut why = "the server's name is not known".to_owned();
    for address in addresses.take(4) {
        let line = open(address, STEP_WAIT).and_then(|line| stop.holds(&line).map(|()| line));
        match line.map_err(FtpError::ConnectionError).and_then(RustlsFtpStream::connect_with_stream) {
            Ok(mut stream) => {
                // The plain one knows IPv4 alone.
                stream.set_mode(if address.is_ipv6() { Mode::ExtendedPassive } else { Mode::Passive });
                let stream = stream.passive_stream_builder(|to| open(to, STEP_WAIT).map_err(FtpError::ConnectionError));
                return if ftp.tls { secure(stream, &ftp.ca, host) } else { Ok(stream) };
            }
            Err(error) => why = describe(&error, ""),
        }
    }
    Err(why)
}

/// Goes on by TLS, before anybody signs in.
fn secure(stream: RustlsFtpStream, ca: &str, host: &str) -> Result<RustlsFtpStream, String> {
    let config = client::config(ca, rustls::DEFAULT_VERSIONS);
    let config = config.ok_or_else(|| "the certificates of authorities cannot be used".to_owned())?;
    let connector = RustlsConnector::from(Arc::new(config));
    stream.into_secure(connector, host).map_err(|error| format!("no TLS: {}", describe(&error, "")))
}

fn open(address: SocketAddr, wait: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    Ok(stream)
}

/// Signs in and goes to the folder.
fn enter(stream: &mut RustlsFtpStream, ftp: &Ftp) -> Result<(), FtpError> {
    stream.login(ftp.user.as_str(), ftp.password.expose())?;
    // Behind address translation a server often tells an address that only it can reach.
    stream.set_passive_nat_workaround(true);
    stream.transfer_type(FileType::Binary)?;
    if ftp.path.starts_with('/') {
        stream.cwd("/")?;
    }
    for folder in ftp.path.split('/').filter(|folder| !folder.is_empty()).take(MOST_FOLDERS) {
        if stream.cwd(folder).is_err() {
            stream.mkdir(folder)?;
            stream.cwd(folder)?;
        }
    }
    Ok(())
}

fn store(stream: &mut RustlsFtpStream, file: &mut Stoppable<'_>, name: &BackupName) -> Result<(), FtpError> {
    let under_way = format!("{name}.part");
    let stored = stream.put_file(under_way.as_str(), file);
    let done = stored.and_then(|_| stream.rename(under_way.as_str(), name.as_str()));
    if done.is_err() {
        drop(stream.rm(under_way.as_str()));
    }
    done
}

/// A file that ends with an error when nobody waits for it.
struct Stoppable<'a> {
    file: File,
    stop: &'a Stop,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.stop.check()?;
        self.file.read(bytes)
    }
}

/// As the server says it. Some repeat the command, with its secret.
fn describe(error: &FtpError, secret: &str) -> String {
    match error {
        FtpError::ConnectionError(error) => format!("no connection: {}", said(&error.to_string())),
        FtpError::SecureError(error) => said(error),
        FtpError::UnexpectedResponse(response) => {
            said(&hide(String::from_utf8_lossy(&response.body).into_owned(), secret))
        }
        FtpError::BadResponse | FtpError::InvalidAddress(_) | FtpError::DataConnectionAlreadyOpen => {
            "the server's answer makes no sense".to_owned()
        }
    }
}
