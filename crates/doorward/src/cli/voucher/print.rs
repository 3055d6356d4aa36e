//! Tickets for guests.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::super::table::order;
use crate::{
    config::Config,
    control::{HotspotLine, Order, VoucherLine},
    ticket,
};
use anyhow::{Context, bail};

/// Characters of a line on paper of 80 mm.
const WIDTH: usize = 42;

/// Which vouchers are printed.
pub(super) struct Choice {
    pub names: Vec<String>,
    pub search: Option<String>,
    pub status: Option<String>,
}

pub(super) async fn run(
    config: &Config,
    what: Choice,
    html: bool,
    hotspot: Option<&str>,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let portal = portal(config, hotspot).await?;
    let mut out: Box<dyn Write + Send> = match output {
        Some(path) => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            Box::new(BufWriter::new(file.with_context(|| path.display().to_string())?))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    if html {
        out.write_all(HEAD.as_bytes())?;
    }
    let mut ticket = |voucher: VoucherLine| {
        let text = if html { sheet_ticket(&voucher, &portal)? } else { paper_ticket(&voucher, &portal) };
        Ok(out.write_all(text.as_bytes())?)
    };
    if what.names.is_empty() {
        let Choice { names: _, search, status } = what;
        order(config, &Order::ListVouchers { search, status, username: None, limit: None }, &mut ticket).await?;
    } else {
        for name in what.names {
            let one = Order::ListVouchers { search: None, status: None, username: Some(name.clone()), limit: None };
            order(config, &one, &mut ticket).await.with_context(|| name)?;
        }
    }
    if html {
        out.write_all(b"</body></html>\n")?;
    }
    out.flush().context("output")
}

/// `http://login.guest.internal`, of the hotspot of that name, or of the only one.
async fn portal(config: &Config, hotspot: Option<&str>) -> anyhow::Result<String> {
    let mut hotspots = Vec::new();
    let take = |line: HotspotLine| {
        hotspots.push(line);
        Ok(())
    };
    order(config, &Order::ListHotspots, take).await?;
    hotspots.retain(|one| hotspot.is_none_or(|name| one.name == name));
    let one = match hotspots.as_slice() {
        [one] => one,
        [] => bail!("there is no such hotspot"),
        _ => bail!("there are several hotspots: say which by --hotspot"),
    };
    let gateway = one.address.split('/').next().unwrap_or_default();
    Ok(format!("http://{}", if one.host_name.is_empty() { gateway } else { &one.host_name }))
}

fn link(voucher: &VoucherLine, portal: &str) -> String {
    ticket::link(portal, &voucher.username, (!voucher.code_only).then_some(voucher.passcode.as_str()))
}

/// What the ticket says, label and value.
fn lines(voucher: &VoucherLine) -> Vec<(&'static str, String)> {
    let mut lines = if voucher.code_only {
        vec![("Code", voucher.username.clone())]
    } else {
        vec![("User name", voucher.username.clone()), ("Passcode", voucher.passcode.clone())]
    };
    let first_use = if voucher.valid_from_first_use { " from first use" } else { "" };
    lines.push(("Valid for", format!("{}{first_use}", voucher.valid_for)));
    if let Some(until) = &voucher.valid_until {
        lines.push(("Until", until.clone()));
    }
    if voucher.devices > 1 {
        lines.push(("Devices", voucher.devices.to_string()));
    }
    let limits =
        [("Download", voucher.download_limit), ("Upload", voucher.upload_limit), ("Data", voucher.total_limit)];
    lines.extend(limits.into_iter().filter(|(_, mb)| *mb > 0).map(|(label, mb)| (label, format!("{mb} MB"))));
    lines
}

fn paper_ticket(voucher: &VoucherLine, portal: &str) -> String {
    let mut text = format!("{:^WIDTH$}\n\n", voucher.fullname).trim_start_matches('\n').to_owned();
    for (label, value) in lines(voucher) {
        let _infallible = writeln!(text, "{label:<12}{value}");
    }
    let _infallible = writeln!(text, "\nOpen {portal}\n{}\n", "-".repeat(WIDTH));
    text
}

fn sheet_ticket(voucher: &VoucherLine, portal: &str) -> anyhow::Result<String> {
    let mut text = format!("<section><h2>{}</h2>{}<dl>", escaped(&voucher.fullname), qr(&link(voucher, portal))?);
    for (label, value) in lines(voucher) {
        let _infallible = write!(text, "<dt>{label}</dt><dd>{}</dd>", escaped(&value));
    }
    let _infallible = writeln!(text, "</dl><p>Scan the code, or open {}</p></section>", escaped(portal));
    Ok(text)
}

fn qr(text: &str) -> anyhow::Result<String> {
    let code = ticket::Code::of(text).context("the link is too long for a QR code")?;
    let (side, path) = (code.side, code.path());
    Ok(format!("<svg viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"QR code\"><path d=\"{path}\"/></svg>"))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Vouchers</title><style>
body{font:14px/1.4 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(64mm,1fr))}
section{border:1px dashed #999;padding:5mm;break-inside:avoid}
h2{font-size:16px;margin:0 0 2mm}
svg{width:34mm;height:34mm;float:right}
dl{margin:0}dt{color:#555;font-size:12px}dd{margin:0 0 1mm;font-weight:600;overflow-wrap:anywhere}
p{clear:both;margin:2mm 0 0;font-size:12px}
</style></head><body>
";

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher(code_only: bool) -> VoucherLine {
        let text = serde_json::json!({
            "id": 7, "username": "K7PM-W3XD", "passcode": "p&<x>", "code_only": code_only, "fullname": "<Ann> & Co",
            "status": "unused", "valid_for": "2 days", "valid_from": "2030-03-01 14:00:00",
            "valid_until": "2030-03-03 14:00:00", "valid_from_first_use": false, "download_limit": 2048,
            "upload_limit": 0, "total_limit": 0, "speed_down": 0, "speed_up": 0, "devices": 3, "devices_used": 0,
            "bytes_down": 0, "bytes_up": 0, "created_at": "2030-03-01 14:00:00", "first_login": null,
            "last_login": null, "mac": null, "note": "",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_paper_ticket_fits_the_paper() {
        let text = paper_ticket(&voucher(false), "http://login.guest.internal");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        for part in ["User name   K7PM-W3XD", "Passcode    p&<x>", "Until       2030-03-03 14:00:00", "2048 MB"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_sheet_holds_nothing_but_what_we_wrote() {
        let text = sheet_ticket(&voucher(false), "http://login.guest.internal").unwrap();
        assert!(text.contains("&lt;Ann&gt; &amp; Co") && text.contains("p&amp;&lt;x&gt;") && !text.contains("<x>"));
    }
}
