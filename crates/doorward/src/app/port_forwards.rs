//! Port forwardings of a server's external address to its accounts (VPN API, section 3.3).

use std::collections::BTreeMap;

use doorward_policy::{
    name::Name,
    vpn_server::{PortForward, Protocol, VpnServer},
};

use super::{App, Error, Given};
use crate::reconcile::Owner;

/// What a caller says of a forwarding.
#[derive(Debug, Default)]
pub struct ForwardWish {
    /// Port on the external address, 1 to 65535.
    pub dst_port: Given<u16>,
    /// TCP or UDP.
    pub protocol: Given<Protocol>,
    /// Name of an account.
    pub to_peer: Given<Name>,
    /// Port at the account, 1 to 65535.
    pub to_port: Given<u16>,
}

/// A stored forwarding.
#[derive(Debug)]
pub struct Forward {
    /// The account that it leads to.
    pub account: Name,
    /// Its ports.
    pub forward: PortForward,
}

/// A forwarding as a path names it.
#[derive(Debug, Clone, Copy)]
pub struct ForwardName {
    /// Port on the external address.
    pub dst_port: Given<u16>,
    /// TCP or UDP.
    pub protocol: Given<Protocol>,
}

impl App {
    /// All forwardings of a server, in the order of port and protocol.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`]; the store failed.
    pub async fn list_forwards(&self, server: &str) -> Result<Vec<Forward>, Error> {
        let server = self.server(server).await?;
        let forwards = self.store().forwards_of(server.id).await.map_err(Error::Store)?;
        let sorted: BTreeMap<_, _> = forwards
            .into_iter()
            .map(|(account, f)| ((f.dst_port, f.protocol), Forward { account, forward: f }))
            .collect();
        Ok(sorted.into_values().collect())
    }

    /// Adds a forwarding. Without a server, that of the account counts.
    ///
    /// # Errors
    /// In the order of the list of the VPN API; the store failed.
    pub async fn create_forward(&self, server: Option<&str>, wish: ForwardWish) -> Result<Forward, Error> {
        let (app, server) = (self.clone(), server.map(str::to_owned));
        self.finish(async move {
            let order = app.edit_accounts().await?;
            let named = match server {
                Some(name) => Some(app.server(&name).await?),
                None => app.server_of_peer(&wish).await?,
            };
            let (protocol, dst_port) = app.judge_forward(named.as_ref(), &wish)?;
            let to_port = *wish.to_port.or(Error::ToPort)?.ok_or(Error::ToPort)?;
            let peer = wish.to_peer.or(Error::Peer)?.ok_or(Error::Peer)?;
            let server = named.ok_or(Error::Peer)?;

            let mine = app.edit_account(peer).await;
            let account = match app.account(peer.as_str()).await {
                Ok(named) if named.account.server == server.id => named.account,
                Ok(_) | Err(Error::AccountNotFound) => return Err(Error::Peer),
                Err(error) => return Err(error),
            };
            let forward = PortForward { dst_port, protocol, to_port };
            if !app.directory().take_forward(dst_port, protocol, server.external_ip, server.id) {
                return Err(Error::ForwardTaken);
            }
            let stored = app.store().insert_forward(server.id, account.id, forward, server.external_ip).await;
            if let Err(error) = stored {
                app.directory().give_back_forward(dst_port, protocol, server.external_ip);
                return Err(app.failed_or(error, Error::Peer));
            }
            drop((mine, order));
            app.settle(&[Owner::Account(account.id)]).await;
            Ok(Forward { account: account.name, forward })
        })
        .await
    }

    /// Removes a forwarding. Without a server, the only one that has it counts.
    ///
    /// # Errors
    /// [`Error::ServerNotFound`], [`Error::ServerAmbiguous`], then what is wrong with the name,
    /// [`Error::ForwardNotFound`]; the store failed.
    pub async fn delete_forward(&self, server: Option<&str>, name: ForwardName) -> Result<(), Error> {
        let (app, server) = (self.clone(), server.map(str::to_owned));
        self.finish(async move {
            let order = app.edit_accounts().await?;
            let named = match server {
                Some(name) => Some(app.server(&name).await?),
                None => None,
            };
            let protocol = *name.protocol.or(Error::ProtocolInPath)?.ok_or(Error::ProtocolInPath)?;
            let port = *name.dst_port.or(Error::PortInPath)?.ok_or(Error::PortInPath)?;
            let server = match named {
                Some(server) => server,
                None => app.only_forwarder(port, protocol).await?,
            };
            let deleted = app.store().delete_forward(server.id, port, protocol).await;
            let account = deleted.map_err(|error| app.failed(error))?.ok_or(Error::ForwardNotFound)?;
            app.directory().give_back_forward(port, protocol, server.external_ip);
            drop(order);
            app.settle(&[Owner::Account(account)]).await;
            Ok(())
        })
        .await
    }

    async fn server_of_peer(&self, wish: &ForwardWish) -> Result<Option<VpnServer>, Error> {
        let Some(peer) = wish.to_peer.value() else { return Ok(None) };
        match self.account_and_server(peer.as_str()).await {
            Ok((_, server)) => Ok(Some(server)),
            Err(Error::AccountNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Protocol and port of a wish, if the server can still forward them.
    fn judge_forward(&self, server: Option<&VpnServer>, wish: &ForwardWish) -> Result<(Protocol, u16), Error> {
        let protocol = *wish.protocol.or(Error::Protocol)?.ok_or(Error::Protocol)?;
        let dst_port = *wish.dst_port.or(Error::DstPort)?.ok_or(Error::DstPort)?;
        let Some(server) = server else { return Ok((protocol, dst_port)) };
        let directory = self.directory();
        let own = protocol == Protocol::Tcp && self.settings().own_tcp_ports.contains(&dst_port);
        if own || directory.forward(dst_port, protocol, server.external_ip).is_some() {
            return Err(Error::ForwardTaken);
        }
        let listens = protocol == Protocol::Udp
            && (directory.listens_on(dst_port, server.external_ip)
                || self.settings().own_udp_ports.contains(&dst_port));
        if dst_port == server.listen_port || listens {
            return Err(Error::ForwardIsListenPort);
        }
        Ok((protocol, dst_port))
    }

    async fn only_forwarder(&self, port: u16, protocol: Protocol) -> Result<VpnServer, Error> {
        let name = {
            let directory = self.directory();
            let mut servers = directory.forwarders(port, protocol);
            let first = servers.next().ok_or(Error::ForwardNotFound)?;
            if servers.next().is_some() {
                return Err(Error::ServerAmbiguous);
            }
            directory.place(first).map(|place| place.name.clone()).ok_or(Error::ForwardNotFound)?
        };
        self.server_if_known(name.as_str()).await?.ok_or(Error::ForwardNotFound)
    }
}
