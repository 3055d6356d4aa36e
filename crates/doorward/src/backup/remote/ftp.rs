//! FTP (RFC 959), in passive mode.

use std::{
    fs::File,
    io::Read,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use suppaftp::{FtpError, FtpStream, Mode, types::FileType};

use super::{STEP_WAIT, said};
use crate::{backup::BackupName, backup_settings::Ftp};

/// Most folders of a path.
const MOST_FOLDERS: usize = 32;

/// Uploads; blocks, until `stop` says that nobody waits for it any more. The file has another name until it is whole.
pub(super) fn upload(ftp: &Ftp, file: File, name: &BackupName, stop: &AtomicBool) -> Result<(), String> {
    let mut stream = connect(ftp)?;
    let done = store(&mut stream, ftp, &mut Stoppable { file, stop }, name);
    drop(stream.quit());
    let secret = ftp.password.expose();
    let hidden = |text: String| if secret.is_empty() { text } else { text.replace(secret, "…") };
    done.map_err(|error| hidden(describe(&error)))
}

fn connect(ftp: &Ftp) -> Result<FtpStream, String> {
    let host = ftp.server.trim_start_matches('[').trim_end_matches(']');
    let addresses = (host, ftp.port).to_socket_addrs().map_err(|_| "the server's name is not known".to_owned())?;
    let mut why = "the server's name is not known".to_owned();
    for address in addresses.take(4) {
        match open(address, STEP_WAIT).map_err(FtpError::ConnectionError).and_then(FtpStream::connect_with_stream) {
            Ok(mut stream) => {
                // The plain one knows IPv4 alone.
                stream.set_mode(if address.is_ipv6() { Mode::ExtendedPassive } else { Mode::Passive });
                return Ok(stream.passive_stream_builder(|to| open(to, STEP_WAIT).map_err(FtpError::ConnectionError)));
            }
            Err(error) => why = describe(&error),
        }
    }
    Err(why)
}

fn open(address: SocketAddr, wait: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    Ok(stream)
}

fn store(stream: &mut FtpStream, ftp: &Ftp, file: &mut Stoppable<'_>, name: &BackupName) -> Result<(), FtpError> {
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
    let under_way = format!("{name}.part");
    stream.put_file(under_way.as_str(), file)?;
    stream.rename(under_way.as_str(), name.as_str())
}

/// A file that ends with an error when nobody waits for it.
struct Stoppable<'a> {
    file: File,
    stop: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::Acquire) {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.file.read(bytes)
    }
}

/// As the server says it: some repeat the command.
fn describe(error: &FtpError) -> String {
    match error {
        FtpError::ConnectionError(error) => format!("no connection: {}", said(&error.to_string())),
        FtpError::UnexpectedResponse(response) => said(&String::from_utf8_lossy(&response.body)),
        FtpError::BadResponse | FtpError::InvalidAddress(_) | FtpError::DataConnectionAlreadyOpen => {
            "the server's answer makes no sense".to_owned()
        }
    }
}
