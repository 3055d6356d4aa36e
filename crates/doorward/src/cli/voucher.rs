//! `doorward voucher`: the front desk.

mod print;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{
    say,
    table::{bytes, command, or_dash, order, show},
};
use crate::{
    config::Config,
    control::{Order, VoucherForm, VoucherLine},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make vouchers and show them. What is not said comes from the settings, names and passcodes are made up.
    Create {
        #[command(flatten)]
        form: Form,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// List vouchers, with passcodes.
    List {
        /// Only those with this in user name, full name or note
        #[arg(long)]
        search: Option<String>,
        /// Only these: unused, active, waiting, expired, spent, disabled
        #[arg(long)]
        status: Option<String>,
        /// At most so many
        #[arg(long)]
        limit: Option<u32>,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Remove vouchers; whoever is online by one is not any more.
    Remove {
        /// User names or codes
        #[arg(required_unless_present = "unused")]
        names: Vec<String>,
        /// All that nobody ever logged in with
        #[arg(long, conflicts_with = "names")]
        unused: bool,
        /// With --unused: made before this time, "YYYY-MM-DD HH:MM:SS"
        #[arg(long, requires = "unused")]
        before: Option<String>,
        /// With --unused: with exactly this note
        #[arg(long, requires = "unused")]
        note: Option<String>,
    },
    /// Switch a voucher off; whoever is online by it is not any more.
    Disable {
        /// User name or code
        name: String,
    },
    /// Switch a voucher on again.
    Enable {
        /// User name or code
        name: String,
    },
    /// Move the end of a voucher.
    Extend {
        /// User name or code
        name: String,
        /// Such as "2 days"
        by: String,
    },
    /// List the devices that hold a place of a voucher.
    Devices {
        /// User name or code
        name: String,
        /// As JSON, one line each
        #[arg(long)]
        json: bool,
    },
    /// Give back the place of a device, as when a telephone changed its MAC address; it is not online any more.
    Release {
        /// User name or code
        name: String,
        /// MAC address of the device
        mac: String,
    },
    /// Print tickets: plain text for a printer of 80 mm, or a sheet with QR codes that log in.
    Print {
        /// User names or codes; none: all that --search and --status choose
        names: Vec<String>,
        /// Only those with this in user name, full name or note
        #[arg(long)]
        search: Option<String>,
        /// Only these: unused, active, waiting, expired, spent, disabled
        #[arg(long)]
        status: Option<String>,
        /// A sheet to be printed by a browser
        #[arg(long)]
        html: bool,
        /// Hotspot whose portal the tickets lead to; needed where there are several
        #[arg(long)]
        hotspot: Option<String>,
        /// Write here instead of to standard output; made readable for its owner alone
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Form {
    /// How many
    #[arg(long)]
    count: Option<u16>,
    /// User name of a single one
    #[arg(long)]
    username: Option<String>,
    /// Passcode of a single one
    #[arg(long)]
    passcode: Option<String>,
    /// Whose it is
    #[arg(long)]
    fullname: Option<String>,
    /// Such as "2 days", "6 hours" or "always"
    #[arg(long)]
    valid_for: Option<String>,
    /// "YYYY-MM-DD HH:MM:SS", gateway time
    #[arg(long)]
    valid_from: Option<String>,
    /// The time begins with the first login
    #[arg(long)]
    first_use: bool,
    /// One code instead of user name and passcode
    #[arg(long)]
    code: bool,
    /// MB to the guest
    #[arg(long, value_name = "MB")]
    data_down: Option<u32>,
    /// MB from the guest
    #[arg(long, value_name = "MB")]
    data_up: Option<u32>,
    /// MB in both directions together
    #[arg(long, value_name = "MB")]
    data_total: Option<u32>,
    /// Mbit/s to the guest
    #[arg(long, value_name = "MBIT")]
    speed_down: Option<u16>,
    /// Mbit/s from the guest
    #[arg(long, value_name = "MBIT")]
    speed_up: Option<u16>,
    /// Devices that may use it
    #[arg(long)]
    devices: Option<u16>,
    /// For staff
    #[arg(long, default_value = "")]
    note: String,
}

pub(super) async fn run(config: Config, verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Create { form, json } => table(&config, &Order::CreateVouchers(form.into()), json).await,
        Verb::List { search, status, limit, json } => {
            table(&config, &Order::ListVouchers { search, status, username: None, limit }, json).await
        }
        Verb::Remove { names, unused: false, before: _, note: _ } => {
            let mut failed = 0;
            for username in names {
                let done = command(&config, &Order::RemoveVoucher { username: username.clone() }).await;
                if let Err(error) = done {
                    eprintln!("doorward: {username}: {error:#}");
                    failed += 1;
                }
            }
            if failed > 0 { bail!("{failed} vouchers were not removed") } else { Ok(()) }
        }
        Verb::Remove { names: _, unused: true, before, note } => {
            let removed = Order::RemoveUnusedVouchers { created_before: before, note };
            order(&config, &removed, |count: u64| say(&format!("{count} vouchers removed"))).await
        }
        Verb::Disable { name } => table(&config, &Order::SwitchVoucher { username: name, enabled: false }, false).await,
        Verb::Enable { name } => table(&config, &Order::SwitchVoucher { username: name, enabled: true }, false).await,
        Verb::Extend { name, by } => table(&config, &Order::ExtendVoucher { username: name, by }, false).await,
        Verb::Devices { name, json } => {
            let cells = |row: &serde_json::Value| {
                let cell = |key: &str| or_dash(row[key].as_str());
                let online = if row["online"] == true { "yes" } else { "no" };
                vec![cell("mac"), cell("first"), cell("last"), online.to_owned()]
            };
            let heads = ["MAC", "FIRST LOGIN", "LAST LOGIN", "ONLINE"];
            show(&config, &Order::VoucherDevices { username: name }, json, &heads, cells).await
        }
        Verb::Release { name, mac } => command(&config, &Order::ReleaseDevice { username: name, mac }).await,
        Verb::Print { names, search, status, html, hotspot, output } => {
            let what = print::Choice { names, search, status };
            print::run(&config, what, html, hotspot.as_deref(), output.as_deref()).await
        }
    }
}

async fn table(config: &Config, order: &Order, json: bool) -> anyhow::Result<()> {
    let heads = ["USERNAME", "PASSCODE", "STATUS", "VALID FOR", "UNTIL", "DEVICES", "USED", "NAME", "NOTE"];
    show(config, order, json, &heads, |voucher: &VoucherLine| {
        vec![
            voucher.username.clone(),
            if voucher.code_only { "-".to_owned() } else { voucher.passcode.clone() },
            voucher.status.clone(),
            voucher.valid_for.clone(),
            or_dash(voucher.valid_until.as_deref()),
            format!("{}/{}", voucher.devices_used, voucher.devices),
            bytes(voucher.bytes_down.saturating_add(voucher.bytes_up)),
            voucher.fullname.clone(),
            voucher.note.clone(),
        ]
    })
    .await
}

impl From<Form> for VoucherForm {
    fn from(form: Form) -> Self {
        Self {
            count: form.count,
            username: form.username,
            passcode: form.passcode,
            fullname: form.fullname,
            valid_for: form.valid_for,
            valid_from: form.valid_from,
            from_first_use: form.first_use,
            code_only: form.code,
            data_down: form.data_down,
            data_up: form.data_up,
            data_total: form.data_total,
            speed_down: form.speed_down,
            speed_up: form.speed_up,
            devices: form.devices,
            note: form.note,
        }
    }
}
