-- Hotspots, vouchers, guests and what they did. The same schema as migrations/postgres/0002_hotspot.sql.
--
-- A grant says from when to when, how fast and how much; vouchers and guests point to theirs. A session is one device
-- online by one grant: at most one open session a device and hotspot, and an address belongs to one session.

CREATE TABLE guest_settings (
    gateway_id INTEGER PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    settings   BLOB NOT NULL,
    api_post   INTEGER NOT NULL CHECK (api_post IN (0, 1)),
    api_get    INTEGER NOT NULL CHECK (api_get IN (0, 1)),
    api_key    BLOB NOT NULL
) STRICT;

CREATE TABLE hotspots (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id   INTEGER NOT NULL REFERENCES gateways (id),
    name         TEXT NOT NULL,
    interface    TEXT NOT NULL,
    address      TEXT NOT NULL,
    address_ipv6 TEXT,
    nat_ipv6     INTEGER NOT NULL CHECK (nat_ipv6 IN (0, 1)),
    isolated     INTEGER NOT NULL CHECK (isolated IN (0, 1)),
    lan_access   TEXT NOT NULL,
    portal_tls   INTEGER NOT NULL CHECK (portal_tls IN (0, 1)),
    settings     BLOB NOT NULL,
    created_ms   INTEGER NOT NULL,
    UNIQUE (gateway_id, name),
    UNIQUE (gateway_id, interface)
) STRICT;

-- Pass-through ('allowed') and blocked devices.
CREATE TABLE hotspot_devices (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    hotspot_id INTEGER NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    mac        TEXT NOT NULL,
    policy     TEXT NOT NULL CHECK (policy IN ('allowed', 'blocked')),
    note       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (hotspot_id, mac)
) STRICT;

CREATE TABLE grants (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id  INTEGER NOT NULL REFERENCES gateways (id),
    method      TEXT NOT NULL,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    starts_ms   INTEGER NOT NULL,
    ends_ms     INTEGER,
    limit_down  INTEGER,
    limit_up    INTEGER,
    limit_total INTEGER,
    used_down   INTEGER NOT NULL,
    used_up     INTEGER NOT NULL,
    spent       INTEGER NOT NULL CHECK (spent IN (0, 1)),
    speed_down  INTEGER NOT NULL,
    speed_up    INTEGER NOT NULL,
    devices     INTEGER NOT NULL CHECK (devices > 0),
    slots_used  INTEGER NOT NULL CHECK (slots_used BETWEEN 0 AND devices),
    mark        INTEGER,
    UNIQUE (gateway_id, mark)
) STRICT;

-- Devices that hold a slot of a grant. 'silent': may come back without a login while the grant lives.
CREATE TABLE grant_devices (
    grant_id   INTEGER NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    mac        TEXT NOT NULL,
    hotspot_id INTEGER NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    silent     INTEGER NOT NULL CHECK (silent IN (0, 1)),
    first_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    PRIMARY KEY (grant_id, mac)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_devices_by_mac ON grant_devices (mac);

CREATE TABLE vouchers (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id      INTEGER NOT NULL REFERENCES gateways (id),
    grant_id        INTEGER NOT NULL REFERENCES grants (id),
    username        TEXT NOT NULL,
    username_folded TEXT NOT NULL,
    passcode        BLOB NOT NULL,
    code_only       INTEGER NOT NULL CHECK (code_only IN (0, 1)),
    fullname        TEXT NOT NULL,
    note            TEXT NOT NULL,
    valid_for       TEXT NOT NULL,
    valid_from_ms   INTEGER NOT NULL,
    from_first_use  INTEGER NOT NULL CHECK (from_first_use IN (0, 1)),
    created_ms      INTEGER NOT NULL,
    modified_ms     INTEGER NOT NULL,
    first_login_ms  INTEGER,
    last_login_ms   INTEGER,
    last_mac        TEXT,
    UNIQUE (grant_id),
    UNIQUE (gateway_id, username_folded)
) STRICT;
-- Lists are read page by page, in this order.
CREATE INDEX vouchers_by_id ON vouchers (gateway_id, id);

-- Persons by how they logged in. 'identity' is what makes them one person: the folded e-mail address, the digits of the
-- number, issuer and subject, or the MAC address.
CREATE TABLE guests (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id     INTEGER NOT NULL REFERENCES gateways (id),
    method         TEXT NOT NULL,
    identity       TEXT NOT NULL,
    grant_id       INTEGER REFERENCES grants (id),
    email          TEXT,
    mobile         TEXT,
    name           TEXT,
    picture        TEXT,
    comments       TEXT NOT NULL,
    comments1      TEXT NOT NULL,
    comments2      TEXT NOT NULL,
    marketing      INTEGER NOT NULL CHECK (marketing IN (0, 1)),
    verified       INTEGER NOT NULL CHECK (verified IN (0, 1)),
    visits         INTEGER NOT NULL,
    last_mac       TEXT NOT NULL,
    created_ms     INTEGER NOT NULL,
    modified_ms    INTEGER NOT NULL,
    last_login_ms  INTEGER NOT NULL,
    UNIQUE (gateway_id, method, identity)
) STRICT;
CREATE INDEX guests_of_grant ON guests (grant_id);
CREATE INDEX guests_by_id ON guests (gateway_id, method, id);
CREATE INDEX guests_by_last_login ON guests (gateway_id, last_login_ms);

-- What a guest agreed to or not: one row for each time that it was asked.
CREATE TABLE consents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    guest_id   INTEGER NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL CHECK (kind IN ('terms', 'marketing')),
    given      INTEGER NOT NULL CHECK (given IN (0, 1)),
    version    TEXT NOT NULL,
    channel    TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX consents_of_guest ON consents (guest_id);

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    hotspot_id INTEGER REFERENCES hotspots (id) ON DELETE SET NULL,
    grant_id   INTEGER NOT NULL REFERENCES grants (id),
    voucher_id INTEGER REFERENCES vouchers (id) ON DELETE SET NULL,
    guest_id   INTEGER REFERENCES guests (id) ON DELETE SET NULL,
    method     TEXT NOT NULL,
    login      TEXT NOT NULL,
    mac        TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ends_ms    INTEGER,
    ended_ms   INTEGER,
    end_reason TEXT,
    bytes_down INTEGER NOT NULL,
    bytes_up   INTEGER NOT NULL,
    raw_down   INTEGER NOT NULL,
    raw_up     INTEGER NOT NULL,
    collected  INTEGER NOT NULL CHECK (collected IN (0, 1))
) STRICT;
CREATE UNIQUE INDEX sessions_open ON sessions (hotspot_id, mac) WHERE ended_ms IS NULL;
CREATE INDEX sessions_live ON sessions (gateway_id, grant_id) WHERE NOT collected;
CREATE INDEX sessions_of_grant ON sessions (grant_id);
CREATE INDEX sessions_of_guest ON sessions (guest_id);
CREATE INDEX sessions_of_voucher ON sessions (voucher_id);
CREATE INDEX sessions_by_end ON sessions (gateway_id, ended_ms);

-- Only of open sessions.
CREATE TABLE session_addresses (
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    address    TEXT NOT NULL,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    PRIMARY KEY (gateway_id, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_addresses_of ON session_addresses (session_id);

CREATE TABLE logins (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    hotspot_id INTEGER REFERENCES hotspots (id) ON DELETE SET NULL,
    created_ms INTEGER NOT NULL,
    method     TEXT NOT NULL,
    login      TEXT NOT NULL,
    mac        TEXT NOT NULL,
    address    TEXT NOT NULL,
    success    INTEGER NOT NULL CHECK (success IN (0, 1)),
    reason     TEXT
) STRICT;
CREATE INDEX logins_by_id ON logins (gateway_id, id);
CREATE INDEX logins_by_time ON logins (gateway_id, created_ms);

-- One-time codes under way, as digests; what else the guest entered is sealed.
CREATE TABLE login_codes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    hotspot_id INTEGER NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    method     TEXT NOT NULL,
    identity   TEXT NOT NULL,
    mac        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    answers    BLOB NOT NULL,
    tries_left INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    UNIQUE (hotspot_id, method, mac)
) STRICT;
CREATE INDEX login_codes_by_expiry ON login_codes (gateway_id, expires_ms);

-- Mail and SMS to be sent; the message is sealed.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id  INTEGER NOT NULL REFERENCES gateways (id),
    channel     TEXT NOT NULL CHECK (channel IN ('mail', 'sms')),
    message     BLOB NOT NULL,
    tries       INTEGER NOT NULL,
    next_try_ms INTEGER NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    error       TEXT
) STRICT;
CREATE INDEX outbox_by_next_try ON outbox (gateway_id, next_try_ms);

-- Answers of the hotspot API that a client may ask for again by the same key.
CREATE TABLE idempotency_keys (
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    key_digest BLOB NOT NULL,
    request    BLOB NOT NULL,
    answer     BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (gateway_id, key_digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (gateway_id, created_ms);
