//! The command line: everything an operator needs when the panel is out of reach.

mod access_hash;
mod backup;
mod cloud;
mod dns;
mod down;
mod firewall;
mod guest;
mod hotspot;
mod hotspot_api;
mod link;
mod operator;
mod relay;
mod serve;
mod status;
mod table;
mod voucher;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use doorward_policy::name::IfName;

use crate::{
    config::{Config, LogFormat},
    http::contract,
    secrets::MasterKey,
    store::Store,
};

/// Where WireGuard programs look for the sockets of user-space tunnels.
const SOCKET_DIR: &str = "/var/run/wireguard";

/// A self-hosted network-access gateway: WireGuard VPN accounts, speed, quota and expiry.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, about, arg_required_else_help = true)]
struct Arguments {
    /// Configuration file [default: /etc/doorward/doorward.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the gateway until told to stop. Stopping drops nobody: tunnels and rules stay.
    Serve,
    /// Run one user-space WireGuard tunnel; the gateway starts these itself.
    Tunnel {
        /// Interface that the gateway made.
        interface: IfName,
    },
    /// Take everything of ours out of the kernel and put back what was changed. The gateway must not run.
    Down,
    /// Read the configuration and say what is wrong with it.
    CheckConfig,
    /// Make, list and delete the hashes that programs use the VPN API with.
    AccessHash {
        #[command(subcommand)]
        verb: access_hash::Verb,
    },
    /// Make, list and change the people who use the panel.
    Operator {
        #[command(subcommand)]
        verb: operator::Verb,
    },
    /// Make, list and revoke one-time links to accounts' configurations, by the running gateway.
    Link {
        #[command(subcommand)]
        verb: link::Verb,
    },
    /// Make, list, print and remove vouchers, by the running gateway.
    Voucher {
        #[command(subcommand)]
        verb: voucher::Verb,
    },
    /// Make, list and change guest networks, by the running gateway.
    Hotspot {
        #[command(subcommand)]
        verb: hotspot::Verb,
    },
    /// See who is on the guest networks, and end their sessions, by the running gateway.
    Guest {
        #[command(subcommand)]
        verb: guest::Verb,
    },
    /// Switch the hotspot API on and off, show and renew its key, by the running gateway.
    HotspotApi {
        #[command(subcommand)]
        verb: hotspot_api::Verb,
    },
    /// Make, list, look at and restore backups; by the running gateway, or on an empty machine.
    Backup {
        #[command(subcommand)]
        verb: backup::Verb,
    },
    /// Print the OpenAPI document of an API.
    Openapi {
        /// Which.
        api: Api,
    },
    /// Make, list and remove firewall rules, by the running gateway.
    Firewall {
        #[command(subcommand)]
        verb: firewall::Verb,
    },
    /// Forwarders, own records and block lists of the resolver, by the running gateway.
    Dns {
        #[command(subcommand)]
        verb: dns::Verb,
    },
    /// Enrol with a relay, switch the cloud endpoint on and off, by the running gateway.
    Cloud {
        #[command(subcommand)]
        verb: cloud::Verb,
    },
    /// Be a relay: the public host through which cloud endpoints are reached. Reads `/etc/doorward/relay.toml`.
    Relay {
        #[command(subcommand)]
        verb: Option<relay::Verb>,
    },
    /// Show what the running gateway does, and what this kernel offers.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the version.
    Version,
}

/// The two APIs.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Api {
    /// That of servers and accounts, `/api/v1/`.
    Vpn,
    /// That of vouchers and guests, `/api/`.
    Hotspot,
}

/// Runs the program.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match verb(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("doorward: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn verb(arguments: Arguments) -> anyhow::Result<()> {
    let load = || Config::load(arguments.config.as_deref()).context("configuration");
    match arguments.verb {
        Verb::Version => say(&format!("doorward {}", env!("CARGO_PKG_VERSION"))),
        Verb::CheckConfig => {
            load()?;
            say("the configuration is fine")
        }
        Verb::Tunnel { interface } => {
            start_log(LogFormat::Text, doorward_kernel::tunnel::daemon::LOG_FILTER);
            let socket_dir = PathBuf::from(SOCKET_DIR);
            block_on(async move { Ok(doorward_kernel::tunnel::daemon::run(interface, &socket_dir).await?) })
        }
        Verb::Serve => {
            let config = load()?;
            start_log(config.log.format, &config.log.level);
            block_on(serve::run(config))
        }
        Verb::Down => {
            let config = load()?;
            start_log(LogFormat::Text, "warn");
            block_on(down::run(config))
        }
        Verb::AccessHash { verb } => block_on(access_hash::run(load()?, verb)),
        Verb::Operator { verb } => block_on(operator::run(load()?, verb)),
        Verb::Link { verb } => block_on(link::run(load()?, verb)),
        Verb::Voucher { verb } => block_on(voucher::run(load()?, verb)),
        Verb::Hotspot { verb } => block_on(hotspot::run(load()?, verb)),
        Verb::Guest { verb } => block_on(guest::run(load()?, verb)),
        Verb::HotspotApi { verb } => block_on(hotspot_api::run(load()?, verb)),
        Verb::Backup { verb } => block_on(backup::run(load()?, verb)),
        Verb::Openapi { api } => say(&openapi(api)?),
        Verb::Firewall { verb } => block_on(firewall::run(load()?, verb)),
        Verb::Dns { verb } => block_on(dns::run(load()?, verb)),
        Verb::Cloud { verb } => block_on(cloud::run(load()?, verb)),
        Verb::Relay { verb } => {
            let config = relay::load(arguments.config.as_deref())?;
            start_log(config.log.format, &config.log.level);
            block_on(relay::run(config, verb.unwrap_or(relay::Verb::Serve)))
        }
        Verb::Status { json } => block_on(status::run(load()?, json)),
    }
}

fn openapi(api: Api) -> anyhow::Result<String> {
    let document = match api {
        Api::Vpn => contract::vpn_document(),
        Api::Hotspot => contract::hotspot_document(),
    };
    Ok(serde_json::to_string_pretty(&document)?)
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // What blocks, such as a server that does not answer, is not waited for.
    runtime.shutdown_background();
    done
}

/// Opens the stored state as the gateway does.
async fn open_store(config: &Config) -> anyhow::Result<Store> {
    make_state_dir(&config.state_dir)?;
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let key = MasterKey::load(&config.state_dir.join("master.key"), credentials.as_deref()).context("master key")?;
    Store::open(&config.database_url(), &config.database.gateway, key).await.context("database")
}

fn make_state_dir(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("state folder {}", path.display()))
}

/// Writes a line for the person or program that called.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{text}").context("standard output")
}

fn start_log(format: LogFormat, level: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    // nlink warns of every answer that says no, and we ask questions to which "no" is a good answer; rustls warns of
    // clients that name an address, at their will; hickory tells the names that people ask for; suppaftp every
    // command with its password; russh whatever a server says.
    const QUIET: &str = "nlink=error,rustls=error,hickory_net=off,hickory_proto=off,hickory_resolver=off,suppaftp=off,\
                         russh=off,russh_sftp=off";
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")));
    let log = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().init(),
    }
}
