//! What of the database is part of a backup, table by table. A test holds the list against the database: a migration that
//! adds a table or a column must say here what becomes of it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// What becomes of a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// In every backup.
    Always,
    /// By choice.
    Statistics,
}

/// Whose rows they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mine {
    /// The table says the gateway.
    Gateway,
    /// Another table's rows, which this column refers to, do.
    Parent { column: &'static str, table: &'static str },
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The row's own number.
    Id,
    /// The number of a row in a table.
    Ref(&'static str),
    Int,
    Bool,
    Text,
    Bytes,
    /// Sealed under the master key for a place.
    Sealed(Owner),
}

/// What a sealed value's place names as its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The gateway's instance id.
    Instance,
    /// The text in this column of the row.
    Text(&'static str),
    /// The bytes in this column, hexadecimal.
    Hex(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) null: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) part: Part,
    pub(super) mine: Mine,
    /// Columns by whose values rows are read page by page; at most one row for a gateway where there are none.
    pub(super) key: &'static [&'static str],
    pub(super) columns: &'static [Column],
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, null: false }
}

const fn maybe(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, null: true }
}

use Kind::{Bool, Bytes, Id, Int, Ref, Sealed, Text};

const ID: Column = column("id", Id);

/// Parents before their children.
#[rustfmt::skip]
pub(super) const TABLES: &[Table] = &[
    Table { name: "settings", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[
        column("traffic_statistics_frequency", Int), column("traffic_statistics_history", Int),
        column("wireguard_handshake_uptime", Int),
    ] },
    Table { name: "vpn_servers", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("name", Text), column("interface", Text), column("private_key", Sealed(Owner::Text("name"))),
        column("listen_port", Int), column("address", Text), column("external_ip", Text), maybe("dns_1", Text),
        maybe("dns_2", Text), maybe("dns_1_ipv6", Text), maybe("dns_2_ipv6", Text), column("bandwidth_down", Int),
        column("bandwidth_up", Int), column("internal_traffic", Bool), column("ikev2", Bool), column("keep_alive", Int),
        column("mtu", Int), column("allowed_ips", Text), column("endpoint", Text), column("ipv6", Bool),
        maybe("address_ipv6", Text), column("disable_nat", Bool),
    ] },
    Table { name: "accounts", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("server_id", Ref("vpn_servers")), column("name", Text), column("username", Text),
        column("secrets", Sealed(Owner::Text("name"))), column("public_key", Bytes), column("enabled", Bool),
        column("address", Text), maybe("address_ipv6", Text), column("bandwidth_down", Int), column("bandwidth_up", Int),
        column("mark", Int), maybe("expires_at_ms", Int), maybe("quota_bytes", Int), column("quota_period", Text),
        column("quota_use_start_ms", Int), column("quota_use_bytes", Int),
    ] },
    Table { name: "port_forwards", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("server_id", Ref("vpn_servers")), column("account_id", Ref("accounts")), column("external_ip", Text),
        column("protocol", Text), column("dst_port", Int), column("to_port", Int),
    ] },
    Table { name: "one_time_links", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("account_id", Ref("accounts")), column("digest", Bytes), column("key", Sealed(Owner::Hex("digest"))),
        column("created_ms", Int), column("expires_ms", Int), column("uses", Int), column("uses_left", Int),
        maybe("used_ms", Int), maybe("used_from", Text),
    ] },
    Table { name: "link_settings", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[column("settings", Text)] },
    Table { name: "firewall", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[
        column("active", Text), maybe("previous", Text), maybe("confirm_by_ms", Int), maybe("draft", Text),
    ] },
    Table { name: "dns", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[column("settings", Text)] },
    Table { name: "cloud", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[
        column("enabled", Bool), column("host", Text), column("port", Int), column("ca", Text), column("domain", Text),
        column("name", Text), column("credential", Sealed(Owner::Instance)), maybe("seen_ms", Int),
    ] },
    Table { name: "guest_settings", part: Part::Always, mine: Mine::Gateway, key: &[], columns: &[
        column("settings", Sealed(Owner::Instance)), column("api_post", Bool), column("api_get", Bool),
        column("api_key", Sealed(Owner::Instance)),
    ] },
    Table { name: "hotspots", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("name", Text), column("interface", Text), column("address", Text), maybe("address_ipv6", Text),
        column("nat_ipv6", Bool), column("isolated", Bool), column("lan_access", Text), column("portal_tls", Bool),
        column("settings", Sealed(Owner::Text("name"))), column("created_ms", Int),
    ] },
    Table { name: "hotspot_devices", part: Part::Always,
        mine: Mine::Parent { column: "hotspot_id", table: "hotspots" }, key: &["id"], columns: &[
        ID, column("hotspot_id", Ref("hotspots")), column("mac", Text), column("policy", Text), column("note", Text),
        column("created_ms", Int),
    ] },
    Table { name: "grants", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("method", Text), column("enabled", Bool), column("starts_ms", Int), maybe("ends_ms", Int),
        maybe("limit_down", Int), maybe("limit_up", Int), maybe("limit_total", Int), column("used_down", Int),
        column("used_up", Int), column("spent", Bool), column("speed_down", Int), column("speed_up", Int),
        column("devices", Int), column("slots_used", Int), maybe("mark", Int),
    ] },
    Table { name: "grant_devices", part: Part::Always, mine: Mine::Parent { column: "grant_id", table: "grants" },
        key: &["grant_id", "mac"], columns: &[
        column("grant_id", Ref("grants")), column("mac", Text), column("hotspot_id", Ref("hotspots")),
        column("silent", Bool), column("first_ms", Int), column("last_ms", Int),
    ] },
    Table { name: "vouchers", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("grant_id", Ref("grants")), column("username", Text), column("username_folded", Text),
        column("passcode", Sealed(Owner::Text("username_folded"))), column("code_only", Bool), column("fullname", Text),
        column("note", Text), column("valid_for", Text), column("valid_from_ms", Int), column("from_first_use", Bool),
        column("created_ms", Int), column("modified_ms", Int), maybe("first_login_ms", Int), maybe("last_login_ms", Int),
        maybe("last_mac", Text),
    ] },
    Table { name: "guests", part: Part::Always, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, column("method", Text), column("identity", Text), maybe("grant_id", Ref("grants")), maybe("email", Text),
        maybe("mobile", Text), maybe("name", Text), maybe("picture", Text), column("comments", Text),
        column("comments1", Text), column("comments2", Text), column("marketing", Bool), column("verified", Bool),
        column("visits", Int), column("last_mac", Text), column("created_ms", Int), column("modified_ms", Int),
        column("last_login_ms", Int),
    ] },
    Table { name: "consents", part: Part::Always, mine: Mine::Parent { column: "guest_id", table: "guests" },
        key: &["id"], columns: &[
        ID, column("guest_id", Ref("guests")), column("kind", Text), column("given", Bool), column("version", Text),
        column("channel", Text), column("created_ms", Int),
    ] },
    Table { name: "usage_days", part: Part::Statistics, mine: Mine::Parent { column: "account_id", table: "accounts" },
        key: &["account_id", "day"], columns: &[
        column("account_id", Ref("accounts")), column("day", Text), column("up", Int), column("down", Int),
    ] },
    Table { name: "sessions", part: Part::Statistics, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, maybe("hotspot_id", Ref("hotspots")), column("grant_id", Ref("grants")), maybe("voucher_id", Ref("vouchers")),
        maybe("guest_id", Ref("guests")), column("method", Text), column("login", Text), column("mac", Text),
        column("started_ms", Int), maybe("ends_ms", Int), maybe("ended_ms", Int), maybe("end_reason", Text),
        column("bytes_down", Int), column("bytes_up", Int), column("raw_down", Int), column("raw_up", Int),
        column("collected", Bool), maybe("due_ms", Int),
    ] },
    Table { name: "logins", part: Part::Statistics, mine: Mine::Gateway, key: &["id"], columns: &[
        ID, maybe("hotspot_id", Ref("hotspots")), column("created_ms", Int), column("method", Text), column("login", Text),
        column("mac", Text), column("address", Text), column("success", Bool), maybe("reason", Text),
        maybe("guest_id", Ref("guests")),
    ] },
];

/// Not part of a backup: who works with the panel and the API, what the machine itself is, and what is under way.
/// `true`: emptied by a restore, because it is about rows that are no more.
pub(super) const LEFT_OUT: &[(&str, bool)] = &[
    ("gateways", false),
    ("access_hashes", false),
    ("operators", false),
    ("operator_addresses", false),
    ("panel_sessions", false),
    ("passkeys", false),
    ("audit", false),
    ("backup_settings", false),
    // What the kernel's counters of this machine showed; put back for accounts that stay.
    ("usage_counts", false),
    // Goes with the sessions.
    ("session_addresses", false),
    // Goes with the hotspots.
    ("login_codes", false),
    ("outbox", true),
    ("idempotency_keys", true),
];

impl Table {
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// `gateway_id = $1`, or the same of its parent's rows.
    pub(super) fn filter(&self) -> String {
        match self.mine {
            Mine::Gateway => "gateway_id = $1".to_owned(),
            Mine::Parent { column, table } => format!("{column} IN (SELECT id FROM {table} WHERE gateway_id = $1)"),
        }
    }

    pub(super) fn has_id(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::Id)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// A row as a line.
    pub(super) fn line(&self, cells: &[Cell], lines: &mut Vec<u8>) {
        let values: Vec<Value> = cells.iter().map(Cell::to_json).collect();
        lines.extend_from_slice(Value::Array(values).to_string().as_bytes());
        lines.push(b'\n');
    }

    /// Names of the columns as the first line of a file.
    pub(super) fn head(&self) -> Vec<u8> {
        let names: Vec<Value> = self.columns.iter().map(|column| column.name.into()).collect();
        let mut line = Value::Array(names).to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

/// Which columns the lines of a file have, as its first line says. An archive of an older version may lack columns that can be
/// empty; one that has others is of a newer version.
pub(super) struct Layout {
    pub(super) table: &'static Table,
    /// Where in the table each value of a line belongs.
    places: Vec<usize>,
}

impl Layout {
    /// `None`: the line names something else.
    pub(super) fn of(table: &'static Table, head: &[u8]) -> Option<Self> {
        let names: Vec<String> = serde_json::from_slice(head).ok()?;
        let places: Vec<usize> = names.iter().map(|name| table.position(name)).collect::<Option<_>>()?;
        let times = |at: usize| places.iter().filter(|place| **place == at).count();
        let fits = |(at, column): (usize, &Column)| times(at) == 1 || (times(at) == 0 && column.null);
        table.columns.iter().enumerate().all(fits).then_some(Self { table, places })
    }

    /// The row of a line; `None`: something of another kind stands in a column.
    pub(super) fn read(&self, line: &[u8]) -> Option<Vec<Cell>> {
        let values: Vec<Value> = serde_json::from_slice(line).ok()?;
        if values.len() != self.places.len() {
            return None;
        }
        let mut row: Vec<Cell> = self.table.columns.iter().map(|column| Cell::Null(column.kind.stored())).collect();
        for (place, value) in self.places.iter().zip(values) {
            *row.get_mut(*place)? = self.table.columns.get(*place)?.read(value)?;
        }
        Some(row)
    }
}

impl Column {
    fn read(&self, value: Value) -> Option<Cell> {
        let cell = match (self.kind.stored(), value) {
            (stored, Value::Null) => self.null.then_some(Cell::Null(stored))?,
            (Stored::Int, Value::Number(n)) => Cell::Int(n.as_i64()?),
            (Stored::Bool, Value::Bool(b)) => Cell::Bool(b),
            (Stored::Text, Value::String(text)) => Cell::Text(text),
            (Stored::Bytes, Value::String(text)) => Cell::Bytes(STANDARD.decode(text).ok()?),
            (Stored::Int | Stored::Bool | Stored::Text | Stored::Bytes, _) => return None,
        };
        Some(cell)
    }
}

impl Kind {
    pub(super) fn stored(self) -> Stored {
        match self {
            Self::Id | Self::Ref(_) | Self::Int => Stored::Int,
            Self::Bool => Stored::Bool,
            Self::Text => Stored::Text,
            Self::Bytes | Self::Sealed(_) => Stored::Bytes,
        }
    }
}

/// How the databases hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Int,
    Bool,
    Text,
    Bytes,
}

/// A value of a row. May be a secret: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null(Stored),
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    fn to_json(&self) -> Value {
        match self {
            Self::Null(_) => Value::Null,
            Self::Int(n) => (*n).into(),
            Self::Bool(b) => (*b).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(bytes) => STANDARD.encode(bytes).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_lines_of_older_versions_are_read_and_others_are_not() {
        let table = Table::find("hotspot_devices").unwrap();
        let row = [
            Cell::Int(1),
            Cell::Int(2),
            Cell::Text("m".into()),
            Cell::Text("allowed".into()),
            Cell::Text("ä\n".into()),
            Cell::Int(-3),
        ];
        let mut line = Vec::new();
        table.line(&row, &mut line);
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert!(Layout::of(table, &table.head()).unwrap().read(&line).unwrap() == row);
        let settings = Table::find("firewall").unwrap();
        let old = Layout::of(settings, b"[\"active\"]").unwrap();
        assert!(old.read(b"[\"{}\"]").unwrap()[1] == Cell::Null(Stored::Text));
        assert!(old.read(b"[\"{}\",null]").is_none());
        assert!(old.read(b"[3]").is_none() && old.read(b"[null]").is_none() && old.read(b"{}").is_none());
        for bad in [&b"[]"[..], b"[\"active\",\"active\"]", b"[\"active\",\"newer\"]", b"[\"draft\"]", b"{}"] {
            assert!(Layout::of(settings, bad).is_none());
        }
    }
}
