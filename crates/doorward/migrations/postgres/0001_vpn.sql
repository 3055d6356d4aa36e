-- Gateways, VPN servers and accounts. The same schema as migrations/sqlite/0001_vpn.sql.
--
-- IDENTITY: counters in the kernel are named by these ids, so none is ever used twice.
-- COLLATE "C": names are compared byte by byte, as SQLite does.
-- The name of a unique constraint tells which field is taken (src/store/error.rs).

CREATE TABLE gateways (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL,
    instance_id TEXT COLLATE "C" NOT NULL,
    key_check   BYTEA NOT NULL,
    created_ms  BIGINT NOT NULL,
    CONSTRAINT "gateways.name" UNIQUE (name)
);

CREATE TABLE settings (
    gateway_id                   BIGINT PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    traffic_statistics_frequency BIGINT NOT NULL,
    traffic_statistics_history   BIGINT NOT NULL,
    wireguard_handshake_uptime   BIGINT NOT NULL
);

CREATE TABLE vpn_servers (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id       BIGINT NOT NULL REFERENCES gateways (id),
    name             TEXT COLLATE "C" NOT NULL,
    interface        TEXT COLLATE "C" NOT NULL,
    private_key      BYTEA NOT NULL,
    listen_port      BIGINT NOT NULL CHECK (listen_port BETWEEN 1 AND 65535),
    address          TEXT COLLATE "C" NOT NULL,
    external_ip      TEXT COLLATE "C" NOT NULL,
    dns_1            TEXT COLLATE "C",
    dns_2            TEXT COLLATE "C",
    dns_1_ipv6       TEXT COLLATE "C",
    dns_2_ipv6       TEXT COLLATE "C",
    bandwidth_down   BIGINT NOT NULL,
    bandwidth_up     BIGINT NOT NULL,
    internal_traffic BOOLEAN NOT NULL,
    ikev2            BOOLEAN NOT NULL,
    keep_alive       BIGINT NOT NULL,
    mtu              BIGINT NOT NULL,
    allowed_ips      TEXT COLLATE "C" NOT NULL,
    endpoint         TEXT COLLATE "C" NOT NULL,
    ipv6             BOOLEAN NOT NULL,
    address_ipv6     TEXT COLLATE "C",
    disable_nat      BOOLEAN NOT NULL,
    CONSTRAINT "vpn_servers.name" UNIQUE (gateway_id, name),
    CONSTRAINT "vpn_servers.interface" UNIQUE (gateway_id, interface),
    CONSTRAINT "vpn_servers.listen_port" UNIQUE (gateway_id, listen_port)
);

CREATE TABLE accounts (
    id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id         BIGINT NOT NULL REFERENCES gateways (id),
    server_id          BIGINT NOT NULL REFERENCES vpn_servers (id),
    name               TEXT COLLATE "C" NOT NULL,
    username           TEXT COLLATE "C" NOT NULL,
    secrets            BYTEA NOT NULL,
    public_key         BYTEA NOT NULL,
    enabled            BOOLEAN NOT NULL,
    address            TEXT COLLATE "C" NOT NULL,
    address_ipv6       TEXT COLLATE "C",
    bandwidth_down     BIGINT NOT NULL,
    bandwidth_up       BIGINT NOT NULL,
    mark               BIGINT NOT NULL,
    expires_at_ms      BIGINT,
    quota_bytes        BIGINT,
    quota_period       TEXT COLLATE "C" NOT NULL,
    quota_use_start_ms BIGINT NOT NULL,
    quota_use_bytes    BIGINT NOT NULL,
    CONSTRAINT "accounts.name" UNIQUE (gateway_id, name),
    CONSTRAINT "accounts.username" UNIQUE (gateway_id, username),
    CONSTRAINT "accounts.address" UNIQUE (gateway_id, address),
    CONSTRAINT "accounts.address_ipv6" UNIQUE (gateway_id, address_ipv6),
    CONSTRAINT "accounts.mark" UNIQUE (gateway_id, mark),
    CONSTRAINT "accounts.public_key" UNIQUE (server_id, public_key)
);

CREATE TABLE port_forwards (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id  BIGINT NOT NULL REFERENCES gateways (id),
    server_id   BIGINT NOT NULL REFERENCES vpn_servers (id),
    account_id  BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    external_ip TEXT COLLATE "C" NOT NULL,
    protocol    TEXT COLLATE "C" NOT NULL,
    dst_port    BIGINT NOT NULL CHECK (dst_port BETWEEN 1 AND 65535),
    to_port     BIGINT NOT NULL CHECK (to_port BETWEEN 1 AND 65535),
    CONSTRAINT "port_forwards.dst_port" UNIQUE (gateway_id, external_ip, protocol, dst_port)
);
CREATE INDEX port_forwards_of_account ON port_forwards (account_id);
CREATE INDEX port_forwards_of_server ON port_forwards (server_id);

CREATE TABLE access_hashes (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id    BIGINT NOT NULL REFERENCES gateways (id),
    name          TEXT COLLATE "C" NOT NULL,
    digest        BYTEA NOT NULL,
    allow         TEXT COLLATE "C" NOT NULL,
    created_ms    BIGINT NOT NULL,
    last_login_ms BIGINT,
    CONSTRAINT "access_hashes.name" UNIQUE (gateway_id, name),
    CONSTRAINT "access_hashes.digest" UNIQUE (gateway_id, digest)
);

CREATE TABLE operators (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id    BIGINT NOT NULL REFERENCES gateways (id),
    name          TEXT COLLATE "C" NOT NULL,
    role          TEXT COLLATE "C" NOT NULL,
    password_hash TEXT COLLATE "C" NOT NULL,
    created_ms    BIGINT NOT NULL,
    CONSTRAINT "operators.name" UNIQUE (gateway_id, name)
);

CREATE TABLE usage_days (
    account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    day        TEXT COLLATE "C" NOT NULL,
    up         BIGINT NOT NULL,
    down       BIGINT NOT NULL,
    PRIMARY KEY (account_id, day)
);
CREATE INDEX usage_days_by_day ON usage_days (day);

CREATE TABLE usage_counts (
    account_id BIGINT PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    raw_up     BIGINT NOT NULL,
    raw_down   BIGINT NOT NULL
);
