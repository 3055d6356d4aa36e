//! How devices find out whether a portal stands before the internet, and what they hear when none does
//! (docs/traffic-policy.md, "Probes").

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// What a probe gets when its device is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// 200 with this type and text.
    Text(&'static str, &'static str),
    /// 204. A captive device never gets an empty 200 for it.
    NoContent,
}

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Host, path and answer. Android's hosts are many and change; their path is enough.
const PROBES: [(&str, &str, Probe); 12] = [
    ("captive.apple.com", "/hotspot-detect.html", APPLE),
    ("captive.apple.com", "/", APPLE),
    ("www.apple.com", "/library/test/success.html", APPLE),
    ("", "/generate_204", Probe::NoContent),
    ("", "/gen_204", Probe::NoContent),
    ("connectivity-check.ubuntu.com", "/", Probe::NoContent),
    ("www.msftconnecttest.com", "/connecttest.txt", Probe::Text(PLAIN, "Microsoft Connect Test")),
    ("ipv6.msftconnecttest.com", "/connecttest.txt", Probe::Text(PLAIN, "Microsoft Connect Test")),
    ("www.msftncsi.com", "/ncsi.txt", Probe::Text(PLAIN, "Microsoft NCSI")),
    ("detectportal.firefox.com", "/canonical.html", Probe::Text(HTML, FIREFOX)),
    ("detectportal.firefox.com", "/success.txt", Probe::Text(PLAIN, "success\n")),
    ("nmcheck.gnome.org", "/check_network_status.txt", Probe::Text(PLAIN, "NetworkManager is online\n")),
];

const APPLE: Probe = Probe::Text(HTML, "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>");
const FIREFOX: &str = r#"<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>"#;

impl Probe {
    /// The probe that asks a host, without its port, for a path.
    pub(super) fn find(host: &str, path: &str) -> Option<Self> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let fits = |of: &&(&str, &str, Self)| (of.0.is_empty() || of.0.eq_ignore_ascii_case(host)) && of.1 == path;
        PROBES.iter().find(fits).map(|(_, _, probe)| *probe)
    }

    /// What it hears when its device is online.
    pub(super) fn answer(self) -> Response {
        match self {
            Self::Text(mime, text) => ([(header::CONTENT_TYPE, HeaderValue::from_static(mime))], text).into_response(),
            Self::NoContent => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_known_by_host_and_path() {
        assert_eq!(Probe::find("Captive.Apple.com.", "/hotspot-detect.html"), Some(APPLE));
        assert_eq!(Probe::find("connectivitycheck.gstatic.com", "/generate_204"), Some(Probe::NoContent));
        assert_eq!(Probe::find("play.googleapis.com", "/generate_204"), Some(Probe::NoContent));
        for (host, path) in [("example.com", "/"), ("example.com", "/success.txt"), ("captive.apple.com", "/x")] {
            assert_eq!(Probe::find(host, path), None, "{host}{path}");
        }
    }
}
