//! A world with a running gateway, a caller of its API and as many clients as a test asks for.

use std::{net::IpAddr, time::Duration};

use serde_json::Value;

use crate::{
    api::Api,
    client::Client,
    flow::{Direction, Heartbeat, Pace, TcpFlow},
    gateway::Gateway,
    world::{SERVER, World},
};

/// What `traffic.md` promises for a change until it shows on packets.
pub const GRANT_WITHIN: Duration = Duration::from_secs(1);
/// The first blocked packet after a change is stored.
pub const CUT_WITHIN: Duration = Duration::from_millis(100);
/// A packet under way when the cut came, and a receiving thread that two busy cores let wait.
pub const SLACK: Duration = Duration::from_millis(100);
/// A client that holds a session which the gateway has forgotten asks anew after 15 s of silence (WireGuard's
/// keepalive and rekey timeouts), at the latest.
pub const RECONNECT_WITHIN: Duration = Duration::from_secs(18);

pub struct Lab {
    // Dropped in this order: the gateway's log is shown before its host goes.
    pub gateway: Gateway,
    pub api: Api,
    pub world: World,
}

impl Lab {
    /// A world with an empty gateway; `network` is what its configuration says below `[network]`.
    pub fn with(network: &str) -> Self {
        Self::in_world(World::new(), network)
    }

    /// The same in a world that has something in it already.
    pub fn in_world(world: World, network: &str) -> Self {
        let gateway = Gateway::start(&world.gateway, network);
        Self { api: gateway.api(), gateway, world }
    }

    /// A world with an empty gateway.
    pub fn new() -> Self {
        Self::with("")
    }

    /// Makes a VPN server and answers its object.
    pub fn server(&mut self, form: &str) -> Value {
        self.api.post("wireguard", form)
    }

    /// Makes an account of a server and answers its name.
    pub fn account(&mut self, server: &Value, form: &str) -> String {
        let wg_name = text(&server["name"]);
        let account = self.api.post("account", &format!("wg_name={wg_name}&{form}"));
        text(&account["name"]).to_owned()
    }

    /// Makes an account and connects a client with the configuration that the API hands out.
    pub fn client(&mut self, server: &Value, form: &str) -> (String, Client) {
        let mut client = self.world.client();
        let account = self.account(server, form);
        self.connect(&mut client, &account);
        (account, client)
    }

    /// Gives a client the configuration of an account and waits until it reaches the internet.
    pub fn connect(&mut self, client: &mut Client, account: &str) {
        let config = self.api.get(&format!("account/{account}/config_text"));
        client.up(text(&config));
        client.reaches(SERVER, RECONNECT_WITHIN);
    }

    /// Starts a heartbeat of a client.
    pub fn heartbeat(&self, client: &Client) -> Heartbeat {
        Heartbeat::start(&client.host, client.address(), &self.world.internet, server_address())
    }

    /// Starts a TCP flow of a client.
    pub fn flow(&self, client: &Client, direction: Direction, pace: Pace) -> TcpFlow {
        TcpFlow::start(&client.host, client.address(), &self.world.internet, server_address(), direction, pace)
    }
}

/// The server on the internet.
pub fn server_address() -> IpAddr {
    SERVER.parse().expect("an address")
}

/// A string of an answer.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string, not {value}"))
}
