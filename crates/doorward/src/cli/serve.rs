//! `doorward serve`: the gateway.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use doorward_kernel::{
    linux::{Linux, LinuxConfig},
    nft::NftOwner,
    tunnel::{Backend, TunnelConfig},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    app::{self, App, system::Process},
    cloud,
    config::{self, Config, Management, Portal},
    control, dhcp, dns,
    hosts::Hosts,
    http::{self, HttpSettings, MetricsToken, Requests},
    keeper,
    listen::{self, Routers},
    meter, outbox, reconcile,
    store::Store,
    tls::{self, Served, acme},
};

/// Time between full passes without any other reason.
const FULL_PASS_EVERY: Duration = Duration::from_secs(30);

/// Requests in hand may go on this long after the order to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Longest wait of a start for the skeleton before listeners open.
const GUARD_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let started = Instant::now();
    // Asked for first, so that an order to stop during the start is kept.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    super::make_state_dir(&config.state_dir)?;
    let _lock = lock(&config.state_dir)?;
    let store = super::open_store(&config).await?;
    let zone = config.time_zone()?;

    let kernel = Linux::open(linux_config(&config)?).await.context("kernel")?;
    let probe: Vec<String> = kernel.probe().to_string().lines().map(str::to_owned).collect();
    for line in &probe {
        tracing::info!("kernel: {line}");
    }
    let options = reconcile::Options { zone: zone.clone(), full_pass_every: FULL_PASS_EVERY };
    let (reconcile, reconcile_task) = reconcile::spawn(kernel, store.clone(), options);
    let (meter, meter_task) = meter::spawn(store.clone(), reconcile.clone(), zone.clone());
    let settings = app_settings(&config, zone)?;
    let hosts = Hosts::default();
    let app = App::open(store.clone(), reconcile.clone(), meter, hosts, settings).await.context("database")?;

    // No listener opens before the rules stand that keep it from those who may not reach it.
    if tokio::time::timeout(GUARD_WAIT, reconcile.guarded()).await.is_err() {
        bail!("the firewall's skeleton does not stand after {} s", GUARD_WAIT.as_secs());
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let guests = open_hotspots(&config, &app, &store, &reconcile, stopped)?;
    let process = Process { started, kernel: probe, names: guests.names };
    let certificate = open_certificate(&config)?;
    let settings = http_settings(&config, process.clone(), &certificate)?;
    let requests = settings.requests.clone();
    let routers = Routers {
        local_api: http::local_api_router(app.clone(), &settings),
        monitoring: http::monitoring_router(app.clone(), &settings),
        management: http::router(app.clone(), settings),
    };
    let server = axum_server::Handle::new();
    let mut listeners = listen::open(&config, routers, certificate.tls.as_ref(), &server)?;

    let report = {
        let app = app.clone();
        move || {
            let (app, process) = (app.clone(), process.clone());
            async move { app.report(&process).await }
        }
    };
    let state_dir = config.state_dir.clone();
    let operations = app.clone();
    let control = tokio::spawn(async move {
        if let Err(error) = control::serve(&state_dir, operations, report).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the command line cannot ask this gateway");
        }
    });

    let backups = app::backups::spawn(app.clone());
    let line = cloud::spawn(app.clone(), http::cloud_api_router(app.clone(), requests));

    begin_setup(&app).await?;
    notify(sd_notify::NotifyState::Ready);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), took_ms = started.elapsed().as_millis(), "ready");
    let result = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = listeners.join_next() => ended.context("listener")?.context("listener"),
    };
    tracing::info!("stopping; tunnels and rules stay");
    notify(sd_notify::NotifyState::Stopping);
    app.stop_backups();
    for task in [line, backups] {
        task.abort();
        drop(task.await);
    }
    server.graceful_shutdown(Some(LAST_REQUESTS));
    while listeners.join_next().await.is_some() {}
    _ = stop.send(true);
    for keeper in guests.keepers {
        keeper.await?;
    }
    for server in guests.servers.into_iter().chain(certificate.keeper) {
        server.abort();
        drop(server.await);
    }
    control.abort();
    drop(std::fs::remove_file(config.state_dir.join(control::SOCKET)));
    // The meter collects a last time when nobody can ask it any more; then nobody holds the loop.
    drop(app);
    drop(control.await);
    meter_task.await?;
    drop(reconcile);
    reconcile_task.await?;
    store.close().await;
    result
}

/// Tells whoever reads the log how to make the first operator.
async fn begin_setup(app: &App) -> anyhow::Result<()> {
    if let Some(token) = app.begin_setup().await.context("database")? {
        tracing::warn!(token, "nobody can sign in yet: open /setup on the management address and give this token");
    }
    Ok(())
}

/// Tasks of the hotspots.
struct Guests {
    /// They end when told to stop, after what sessions used was stored a last time.
    keepers: Vec<JoinHandle<()>>,
    /// They have nothing to put in order. The DHCP server itself goes on: guests must be able to renew their leases.
    servers: Vec<JoinHandle<()>>,
    /// What the resolver did.
    names: Arc<dns::Stats>,
}

/// Starts what guests need beside the kernel's rules.
fn open_hotspots(
    config: &Config,
    app: &App,
    store: &Store,
    reconcile: &reconcile::Handle,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> anyhow::Result<Guests> {
    let options = dhcp::Options { state_dir: config.state_dir.clone(), api_path: http::portal::API_PATH };
    let dhcp = dhcp::spawn(options, app.hotspots(), app.hosts().clone());

    let (host, garden) = (reconcile.clone(), reconcile.clone());
    let machine = move || host.host();
    let open = move |addresses| {
        let garden = garden.clone();
        async move { garden.garden(addresses).await }
    };
    let options = dns::Options { upstreams: config.dns.upstreams.clone(), port: dns::PORT };
    let served = dns::Served { hotspots: app.hotspots(), names: app.names(), lists: Arc::clone(app.lists()) };
    let (names, resolver) = dns::spawn(options, served, app.hosts().clone(), machine, open);
    let lists = dns::lists::spawn(Arc::clone(app.lists()), config.state_dir.join(dns::lists::FOLDER), app.names());
    let Portal { tls_certificate, tls_key } = &config.portal;
    let tls = match tls_certificate.as_os_str().is_empty() {
        true => None,
        false => Some(tls::open(tls_certificate, tls_key, &config.state_dir).context("portal")?),
    };
    let portal_config = tls.as_ref().map(Served::config).transpose().context("portal")?;
    let portal = http::portal::spawn(app.clone(), portal_config).context("portal")?;
    let mut servers = vec![dhcp, resolver, lists, portal, outbox::spawn(app.clone())];
    servers.extend(tls.map(|served| tokio::spawn(served.follow(tls_certificate.clone(), tls_key.clone()))));
    Ok(Guests { keepers: keeper::spawn(app.clone(), store.clone(), reconcile.clone(), stopped), servers, names })
}

/// What the management listener serves with.
struct Certificate {
    /// `None`: nothing is served by HTTPS.
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Exchanges it when a newer one comes.
    keeper: Option<JoinHandle<()>>,
    /// How it goes with the authority.
    acme: Option<watch::Receiver<acme::State>>,
}

/// The certificate of an authority, once it has come; until then, and without one, the files or our own.
fn open_certificate(config: &Config) -> anyhow::Result<Certificate> {
    let Management { listen, tls_certificate, tls_key, .. } = &config.management;
    if listen.is_empty() {
        return Ok(Certificate { tls: None, keeper: None, acme: None });
    }
    let Some(options) = config.acme()? else {
        let served = tls::open(tls_certificate, tls_key, &config.state_dir)?;
        let (certificate, key) = tls::files(tls_certificate, tls_key, &config.state_dir)?;
        let keeper = tokio::spawn(Arc::clone(&served).follow(certificate, key));
        return Ok(Certificate { tls: Some(served.config()?), keeper: Some(keeper), acme: None });
    };
    let served = match acme::kept(&options) {
        Some((key, _)) => Served::new(key),
        None => tls::open(tls_certificate, tls_key, &config.state_dir)?,
    };
    let (state, acme) = watch::channel(acme::State::default());
    let keeper = tokio::spawn(acme::keep(options, acme::Method::Tls, Arc::clone(&served), state));
    Ok(Certificate { tls: Some(served.config()?), keeper: Some(keeper), acme: Some(acme) })
}

/// Keeps a second gateway off the same state.
pub(super) fn lock(state_dir: &Path) -> anyhow::Result<File> {
    let path = state_dir.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    if file.try_lock().is_err() {
        bail!("another doorward runs on {}", state_dir.display());
    }
    Ok(file)
}

pub(super) fn linux_config(config: &Config) -> anyhow::Result<LinuxConfig> {
    Ok(LinuxConfig {
        tunnels: TunnelConfig {
            backend: match config.network.wireguard {
                config::Wireguard::Auto => Backend::Auto,
                config::Wireguard::Kernel => Backend::Kernel,
                config::Wireguard::Userspace => Backend::Userspace,
            },
            program: std::env::current_exe().context("path of this program")?,
            socket_dir: PathBuf::from(super::SOCKET_DIR),
            systemd: config.network.systemd_tunnels,
        },
        nft_owner: match config.network.nft_owner {
            config::NftOwner::Auto => NftOwner::Auto,
            config::NftOwner::Off => NftOwner::Off,
        },
        state_dir: config.state_dir.clone(),
        wans: config.wans()?,
    })
}

fn http_settings(config: &Config, process: Process, served: &Certificate) -> anyhow::Result<HttpSettings> {
    let (management, portal) = (&config.management, &config.portal);
    let mut certificates = Vec::new();
    if !management.listen.is_empty() && served.acme.is_none() {
        let described = tls::describe(&management.tls_certificate, &management.tls_key, &config.state_dir)?;
        certificates.push(("management", described));
    }
    if !portal.tls_certificate.as_os_str().is_empty() {
        certificates.push(("portal", tls::describe(&portal.tls_certificate, &portal.tls_key, &config.state_dir)?));
    }
    Ok(HttpSettings {
        trusted_proxies: management.trusted_proxies.clone(),
        v1_status_200: management.v1_status_200,
        api_networks: management.api_networks.clone(),
        api_listen: management.api_listen.iter().chain(&management.plain_listen).next().copied(),
        certificates,
        acme: served.acme.clone(),
        metrics_token: metrics_token(&config.monitoring.token_file)?,
        requests: Requests::default(),
        process: Some(process),
    })
}

/// The token of `monitoring.token_file`.
fn metrics_token(path: &Path) -> anyhow::Result<Option<MetricsToken>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let shown = || format!("monitoring.token_file: {}", path.display());
    let text = std::fs::read_to_string(path).with_context(shown)?;
    let token = MetricsToken::parse(&text);
    token.map(Some).with_context(|| format!("{}: not 16 to 256 visible characters on one line", shown()))
}

fn app_settings(config: &Config, zone: jiff::tz::TimeZone) -> Result<app::Settings, config::Error> {
    let management = &config.management;
    let listeners = management.listen.iter().chain(&management.plain_listen).chain(&management.api_listen);
    let listeners = listeners.chain(&config.monitoring.listen);
    Ok(app::Settings {
        max_accounts: management.max_accounts,
        config_tabs: management.config_tabs,
        zone,
        own_tcp_ports: listeners.map(|address| address.port()).collect(),
        // Resolver and DHCP server of the hotspots.
        own_udp_ports: vec![53, 67, 547],
        portal_tls: !config.portal.tls_certificate.as_os_str().is_empty(),
        public_url: config.public_url()?,
        backup_folder: app::backups::folder_of(&config.state_dir),
    })
}

fn notify(state: sd_notify::NotifyState<'_>) {
    // Nobody listens where systemd did not start us.
    drop(sd_notify::notify(&[state]));
}
