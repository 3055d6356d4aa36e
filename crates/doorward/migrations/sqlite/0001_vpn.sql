-- Gateways, VPN servers and accounts. The same schema as migrations/postgres/0001_vpn.sql.
--
-- AUTOINCREMENT: counters in the kernel are named by these ids, so none is ever used twice.
-- The last column of a unique constraint tells which field is taken (src/store/error.rs).

CREATE TABLE gateways (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL,
    instance_id TEXT NOT NULL,
    key_check   BLOB NOT NULL,
    created_ms  INTEGER NOT NULL,
    UNIQUE (name)
) STRICT;

CREATE TABLE settings (
    gateway_id                   INTEGER PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    traffic_statistics_frequency INTEGER NOT NULL,
    traffic_statistics_history   INTEGER NOT NULL,
    wireguard_handshake_uptime   INTEGER NOT NULL
) STRICT;

CREATE TABLE vpn_servers (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id       INTEGER NOT NULL REFERENCES gateways (id),
    name             TEXT NOT NULL,
    interface        TEXT NOT NULL,
    private_key      BLOB NOT NULL,
    listen_port      INTEGER NOT NULL CHECK (listen_port BETWEEN 1 AND 65535),
    address          TEXT NOT NULL,
    external_ip      TEXT NOT NULL,
    dns_1            TEXT,
    dns_2            TEXT,
    dns_1_ipv6       TEXT,
    dns_2_ipv6       TEXT,
    bandwidth_down   INTEGER NOT NULL,
    bandwidth_up     INTEGER NOT NULL,
    internal_traffic INTEGER NOT NULL CHECK (internal_traffic IN (0, 1)),
    ikev2            INTEGER NOT NULL CHECK (ikev2 IN (0, 1)),
    keep_alive       INTEGER NOT NULL,
    mtu              INTEGER NOT NULL,
    allowed_ips      TEXT NOT NULL,
    endpoint         TEXT NOT NULL,
    ipv6             INTEGER NOT NULL CHECK (ipv6 IN (0, 1)),
    address_ipv6     TEXT,
    disable_nat      INTEGER NOT NULL CHECK (disable_nat IN (0, 1)),
    UNIQUE (gateway_id, name),
    UNIQUE (gateway_id, interface),
    UNIQUE (gateway_id, listen_port)
) STRICT;

CREATE TABLE accounts (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id         INTEGER NOT NULL REFERENCES gateways (id),
    server_id          INTEGER NOT NULL REFERENCES vpn_servers (id),
    name               TEXT NOT NULL,
    username           TEXT NOT NULL,
    secrets            BLOB NOT NULL,
    public_key         BLOB NOT NULL,
    enabled            INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    address            TEXT NOT NULL,
    address_ipv6       TEXT,
    bandwidth_down     INTEGER NOT NULL,
    bandwidth_up       INTEGER NOT NULL,
    mark               INTEGER NOT NULL,
    expires_at_ms      INTEGER,
    quota_bytes        INTEGER,
    quota_period       TEXT NOT NULL,
    quota_use_start_ms INTEGER NOT NULL,
    quota_use_bytes    INTEGER NOT NULL,
    UNIQUE (gateway_id, name),
    UNIQUE (gateway_id, username),
    UNIQUE (gateway_id, address),
    UNIQUE (gateway_id, address_ipv6),
    UNIQUE (gateway_id, mark),
    UNIQUE (server_id, public_key)
) STRICT;

CREATE TABLE port_forwards (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id  INTEGER NOT NULL REFERENCES gateways (id),
    server_id   INTEGER NOT NULL REFERENCES vpn_servers (id),
    account_id  INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    external_ip TEXT NOT NULL,
    protocol    TEXT NOT NULL,
    dst_port    INTEGER NOT NULL CHECK (dst_port BETWEEN 1 AND 65535),
    to_port     INTEGER NOT NULL CHECK (to_port BETWEEN 1 AND 65535),
    UNIQUE (gateway_id, external_ip, protocol, dst_port)
) STRICT;
CREATE INDEX port_forwards_of_account ON port_forwards (account_id);
CREATE INDEX port_forwards_of_server ON port_forwards (server_id);

CREATE TABLE access_hashes (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id    INTEGER NOT NULL REFERENCES gateways (id),
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL,
    allow         TEXT NOT NULL,
    created_ms    INTEGER NOT NULL,
    last_login_ms INTEGER,
    UNIQUE (gateway_id, name),
    UNIQUE (gateway_id, digest)
) STRICT;

CREATE TABLE operators (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id    INTEGER NOT NULL REFERENCES gateways (id),
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_ms    INTEGER NOT NULL,
    UNIQUE (gateway_id, name)
) STRICT;

CREATE TABLE usage_days (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    day        TEXT NOT NULL,
    up         INTEGER NOT NULL,
    down       INTEGER NOT NULL,
    PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_days_by_day ON usage_days (day);

CREATE TABLE usage_counts (
    account_id INTEGER PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    raw_up     INTEGER NOT NULL,
    raw_down   INTEGER NOT NULL
) STRICT;
