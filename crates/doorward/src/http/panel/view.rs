//! What stands around every page: menu, head, words that wait.

use jiff::tz::TimeZone;

use super::{assets, numbers, seat::Flash};
use crate::{
    app::{
        App,
        desk::{Desk, Module, Operation},
        operators::Theme,
    },
    hotspot_settings::Lang,
    words,
};

/// The menu, in the order of the product: module, address, icon, name of the text.
const MENU: &[(Module, &str, &str, &str)] = &[
    (Module::Dashboard, "/", "layout-dashboard", "menu-dashboard"),
    (Module::Servers, "/servers", "server-2", "menu-servers"),
    (Module::Accounts, "/accounts", "users", "menu-accounts"),
    (Module::Hotspots, "/hotspots", "wifi", "menu-hotspots"),
    (Module::Vouchers, "/vouchers", "ticket", "menu-vouchers"),
    (Module::Guests, "/guests", "users", "menu-guests"),
    (Module::Logins, "/logins", "list-details", "menu-logins"),
    (Module::Live, "/live", "plug-connected", "menu-live"),
    (Module::Firewall, "/firewall", "shield-lock", "menu-firewall"),
    (Module::Dns, "/dns", "world-search", "menu-dns"),
    (Module::Links, "/links", "link", "menu-links"),
    (Module::Operators, "/operators", "user-cog", "menu-operators"),
    (Module::Audit, "/audit", "history", "menu-audit"),
    (Module::AccessHashes, "/api-hashes", "key", "menu-api-hashes"),
    (Module::ApiAccess, "/api-access", "api", "menu-api-access"),
    (Module::Settings, "/settings", "settings", "menu-settings"),
    (Module::Profile, "/profile", "fingerprint", "menu-profile"),
];

/// What stands around a page, and how texts and numbers are written on it.
pub(super) struct Frame {
    pub(super) lang: Lang,
    pub(super) theme: Theme,
    pub(super) title: String,
    /// Name and role of the operator; `None` before sign-in.
    pub(super) operator: Option<(String, &'static str)>,
    pub(super) menu: Vec<Entry>,
    pub(super) flashes: Vec<Flash>,
    /// What forms hold against forged requests.
    pub(super) csrf: String,
    /// `OK` or `Loading (…)`.
    pub(super) state: String,
    pub(super) version: &'static str,
    zone: TimeZone,
    desk: Option<Desk>,
}

/// A line of the menu.
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) icon: &'static str,
    pub(super) text: String,
    pub(super) here: bool,
}

impl Frame {
    #[expect(clippy::too_many_arguments, reason = "one caller, which has them all")]
    pub(super) fn new(
        desk: Option<&Desk>,
        lang: Lang,
        theme: Theme,
        path: &str,
        app: &App,
        flashes: Vec<Flash>,
        csrf: String,
        title: String,
    ) -> Self {
        let allowed = MENU.iter().filter(|(module, ..)| desk.is_some_and(|desk| desk.may(*module, Operation::View)));
        let menu = allowed.map(|(_, to, icon, name)| Entry {
            path: to,
            icon,
            text: words::text(lang, name),
            here: is_below(path, to),
        });
        Self {
            lang,
            theme,
            title,
            operator: desk.map(|desk| (desk.operator().name.clone(), desk.operator().role.as_str())),
            menu: menu.collect(),
            flashes,
            csrf,
            state: app.state().text,
            version: env!("CARGO_PKG_VERSION"),
            zone: app.settings().zone.clone(),
            desk: desk.cloned(),
        }
    }

    /// A text.
    pub(super) fn t(&self, name: &str) -> String {
        words::text(self.lang, name)
    }

    /// A text with one value.
    pub(super) fn t1(&self, name: &str, key: &'static str, value: &str) -> String {
        words::fill(self.lang, name, &[(key, value)])
    }

    /// A text with a number `n`, in the form that the number asks for.
    pub(super) fn count(&self, name: &str, n: impl Amount) -> String {
        let n = n.amount();
        words::count(self.lang, name, n, &numbers::number(self.lang, n))
    }

    /// A number.
    pub(super) fn number(&self, n: impl Amount) -> String {
        numbers::number(self.lang, n.amount())
    }

    /// An amount of data.
    pub(super) fn bytes(&self, n: impl Amount) -> String {
        numbers::bytes(self.lang, n.amount())
    }

    /// A moment in the gateway's time zone.
    pub(super) fn moment(&self, ms: &i64) -> String {
        numbers::moment(*ms, &self.zone)
    }

    /// A moment for programs.
    pub(super) fn machine_moment(&self, ms: &i64) -> String {
        numbers::machine_moment(*ms)
    }

    /// The gateway's time zone.
    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Name of the gateway's time zone.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Address of a file of ours that changes when the file does.
    pub(super) fn asset(&self, file: &str) -> String {
        assets::address(file)
    }

    /// Whether the operator may change something of a part of the gateway.
    pub(super) fn may_change(&self, module: Module) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.may(module, Operation::Change))
    }

    /// Whether the operator may see secrets of a part of the gateway.
    pub(super) fn may_reveal(&self, module: Module) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.may(module, Operation::Reveal))
    }
}

/// A number as pages have it; below zero is zero.
pub(super) trait Amount {
    fn amount(self) -> u64;
}

macro_rules! amounts {
    ($($kind:ty),+) => {
        $(impl Amount for $kind {
            fn amount(self) -> u64 {
                self.try_into().unwrap_or_default()
            }
        }
        impl Amount for &$kind {
            fn amount(self) -> u64 {
                (*self).amount()
            }
        })+
    };
}

amounts!(i32, u32, i64, usize);

impl Amount for u64 {
    fn amount(self) -> u64 {
        self
    }
}

impl Amount for &u64 {
    fn amount(self) -> u64 {
        *self
    }
}

/// Whether a page belongs to a line of the menu.
fn is_below(path: &str, entry: &str) -> bool {
    path == entry || (entry != "/" && path.strip_prefix(entry).is_some_and(|rest| rest.starts_with('/')))
}
