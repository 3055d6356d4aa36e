//! SFTP (SSH File Transfer Protocol, version 3), from a server whose key is known.

use std::{fs::File, future::Future, io, net, sync::Arc};

use russh::{
    ChannelMsg, Disconnect,
    client::{self, AuthResult, Handle},
    keys::{Algorithm, EcdsaCurve, PrivateKeyWithHashAlg, PublicKeyOrCertificate},
};
use russh_sftp::{
    client::{Config, SftpSession},
    protocol::OpenFlags,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{RemoteError, STEP_WAIT, bare, hide, said};
use crate::{
    backup::BackupName,
    backup_settings::{HostKey, Sftp, SignIn},
};

/// Bytes that are read and sent in one step.
const PIECE: usize = 64 * 1024;
/// Pieces of 32 KiB that are under way at once: each is answered within [`STEP_WAIT`] on a line of 128 kbit/s.
const UNDER_WAY: usize = 8;

/// Uploads. The file has another name until it is whole.
pub(super) async fn upload(sftp: &Sftp, file: File, name: &BackupName) -> Result<(), RemoteError> {
    let (session, folder) = enter(sftp).await?;
    let (whole, under_way) = (format!("{folder}{name}"), format!("{folder}{name}.part"));
    // What somebody else has there is theirs.
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
    let remote = step("the file cannot be made", session.sftp.open_with_flags(&under_way, flags)).await?;
    let done = async {
        write(remote, file).await?;
        step("the file cannot get its name", session.sftp.rename(&under_way, whole)).await
    };
    let done = done.await;
    if done.is_err() {
        drop(step("", session.sftp.remove_file(&under_way)).await);
    }
    session.leave().await;
    done
}

/// Signs in and makes the folder.
pub(super) async fn try_out(sftp: &Sftp) -> Result<(), RemoteError> {
    let (session, _) = enter(sftp).await?;
    session.leave().await;
    Ok(())
}

struct Session {
    sftp: SftpSession,
    ssh: Handle<Pinned>,
    _line: Line,
}

impl Session {
    /// Says goodbye; nothing depends on it.
    async fn leave(self) {
        drop(self.sftp.close().await);
        drop(self.ssh.disconnect(Disconnect::ByApplication, "", "").await);
        drop(step("", self.ssh).await);
    }
}

/// Ends the connection when dropped: the library's tasks would wait for a server that says nothing.
struct Line(net::TcpStream);

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.0.shutdown(net::Shutdown::Both));
    }
}

/// Signs in and goes to the folder, whose path ends in a slash unless it is empty.
async fn enter(sftp: &Sftp) -> Result<(Session, String), RemoteError> {
    let (stream, line) = connect(sftp).await?;
    let mut ssh = step("no SSH", client::connect_stream(config(), stream, Pinned(sftp.host_key))).await?;
    sign_in(&mut ssh, sftp).await?;
    let session = start(&ssh).await?;
    let mut folder = if sftp.path.starts_with('/') { "/".to_owned() } else { String::new() };
    for name in sftp.path.split('/').filter(|name| !name.is_empty()) {
        folder += name;
        if step("", session.metadata(&folder)).await.is_err() {
            step("the folder cannot be made", session.create_dir(&folder)).await?;
        }
        folder.push('/');
    }
    Ok((Session { sftp: session, ssh, _line: line }, folder))
}

async fn connect(sftp: &Sftp) -> Result<(TcpStream, Line), RemoteError> {
    let unknown = || RemoteError::Other("the server's name is not known".to_owned());
    let addresses = tokio::net::lookup_host((bare(&sftp.server), sftp.port));
    let addresses = timeout(STEP_WAIT, addresses).await.map_err(|_| unknown())?.map_err(|_| unknown())?;
    let mut why = unknown();
    for address in addresses.take(4) {
        match step("no connection", TcpStream::connect(address)).await {
            Ok(stream) => return lined(stream).map_err(|error| RemoteError::Other(said(&error.to_string()))),
            Err(error) => why = error,
        }
    }
    Err(why)
}

fn lined(stream: TcpStream) -> io::Result<(TcpStream, Line)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let line = Line(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, line))
}

/// The library's own choice, but no signature by RSA: it cannot be checked in this build.
fn config() -> Arc<client::Config> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let keys = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521].map(ecdsa);
    let mut config = client::Config::default();
    config.preferred.key = [Algorithm::Ed25519].into_iter().chain(keys).collect();
    Arc::new(config)
}

/// Lets only the server with the pinned key pass.
struct Pinned(Option<HostKey>);

impl client::Handler for Pinned {
    type Error = RemoteError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, RemoteError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        let Some(shown) = HostKey::of(key) else { return Ok(false) };
        match self.0 {
            Some(pinned) if pinned == shown => Ok(true),
            Some(pinned) => Err(RemoteError::OtherHostKey { pinned, shown }),
            None => Err(RemoteError::NoHostKey(shown)),
        }
    }
}

async fn sign_in(ssh: &mut Handle<Pinned>, sftp: &Sftp) -> Result<(), RemoteError> {
    let user = sftp.user.as_str();
    let (what, secret, answer) = match &sftp.sign_in {
        None => return Err(RemoteError::Other("there is neither a password nor a key to sign in with".to_owned())),
        Some(SignIn::Password(password)) => {
            let answer = step("no sign-in", ssh.authenticate_password(user, password.expose())).await;
            ("password", password.expose(), answer)
        }
        Some(SignIn::Key(key)) => {
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key.expose()), None);
            ("key", "", step("no sign-in", ssh.authenticate_publickey(user, key)).await)
        }
    };
    match answer {
        Ok(AuthResult::Success) => Ok(()),
        Ok(AuthResult::Failure { partial_success: true, .. }) => {
            Err(RemoteError::Other(format!("the server wants more than the {what}")))
        }
        Ok(AuthResult::Failure { remaining_methods, .. }) => {
            let takes: Vec<String> = remaining_methods.iter().map(String::from).collect();
            let takes = said(&takes.join(", "));
            Err(RemoteError::Other(format!("the server refuses user or {what}; it takes {takes}")))
        }
        Err(RemoteError::Other(why)) => Err(RemoteError::Other(hide(why, secret))),
        Err(error) => Err(error),
    }
}

/// Starts SFTP on a connection.
async fn start(ssh: &Handle<Pinned>) -> Result<SftpSession, RemoteError> {
    const NONE: &str = "the server has no SFTP";
    let mut channel = step(NONE, ssh.channel_open_session()).await?;
    step(NONE, channel.request_subsystem(true, "sftp")).await?;
    let granted = async {
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) | None => return Err(RemoteError::Other("refused".to_owned())),
                Some(_) => {}
            }
        }
    };
    step(NONE, granted).await?;
    let config =
        Config { max_concurrent_writes: UNDER_WAY, request_timeout_secs: STEP_WAIT.as_secs(), ..Config::default() };
    step(NONE, SftpSession::new_with_config(channel.into_stream(), config)).await
}

async fn write(mut remote: russh_sftp::client::fs::File, file: File) -> Result<(), RemoteError> {
    const WHAT: &str = "the file cannot be written";
    let mut file = tokio::fs::File::from_std(file);
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).await.map_err(|error| RemoteError::Other(said(&error.to_string())))?;
        match piece.get(..length) {
            Some([]) | None => return step(WHAT, remote.shutdown()).await,
            Some(bytes) => step(WHAT, remote.write_all(bytes)).await?,
        }
    }
}

/// Waits for a step of the exchange, for its time. `what`: what it means that it fails.
async fn step<T, E: Into<RemoteError>>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, RemoteError> {
    let why = match timeout(STEP_WAIT, work).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.into(),
        Err(_) => RemoteError::Other("no answer in time".to_owned()),
    };
    Err(match why {
        RemoteError::Other(why) => RemoteError::Other(format!("{what}: {why}")),
        known @ (RemoteError::NoHostKey(_) | RemoteError::OtherHostKey { .. }) => known,
    })
}

impl From<io::Error> for RemoteError {
    fn from(error: io::Error) -> Self {
        Self::Other(said(&error.to_string()))
    }
}

impl From<russh::Error> for RemoteError {
    fn from(error: russh::Error) -> Self {
        Self::Other(said(&error.to_string()))
    }
}

impl From<russh_sftp::client::error::Error> for RemoteError {
    fn from(error: russh_sftp::client::error::Error) -> Self {
        Self::Other(said(&error.to_string()))
    }
}
