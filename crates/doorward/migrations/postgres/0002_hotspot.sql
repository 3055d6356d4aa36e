-- Hotspots, vouchers, guests and what they did. The same schema as migrations/sqlite/0002_hotspot.sql.
--
-- A grant says from when to when, how fast and how much; vouchers and guests point to theirs. A session is one device
-- online by one grant: at most one open session a device and hotspot, and an address belongs to one session.

CREATE TABLE guest_settings (
    gateway_id BIGINT PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    settings   BYTEA NOT NULL,
    api_post   BOOLEAN NOT NULL,
    api_get    BOOLEAN NOT NULL,
    api_key    BYTEA NOT NULL
);

CREATE TABLE hotspots (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id   BIGINT NOT NULL REFERENCES gateways (id),
    name         TEXT COLLATE "C" NOT NULL,
    interface    TEXT COLLATE "C" NOT NULL,
    address      TEXT COLLATE "C" NOT NULL,
    address_ipv6 TEXT COLLATE "C",
    nat_ipv6     BOOLEAN NOT NULL,
    isolated     BOOLEAN NOT NULL,
    lan_access   TEXT COLLATE "C" NOT NULL,
    portal_tls   BOOLEAN NOT NULL,
    settings     BYTEA NOT NULL,
    created_ms   BIGINT NOT NULL,
    CONSTRAINT "hotspots.name" UNIQUE (gateway_id, name),
    CONSTRAINT "hotspots.interface" UNIQUE (gateway_id, interface)
);

-- Pass-through ('allowed') and blocked devices.
CREATE TABLE hotspot_devices (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hotspot_id BIGINT NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    mac        TEXT COLLATE "C" NOT NULL,
    policy     TEXT COLLATE "C" NOT NULL CHECK (policy IN ('allowed', 'blocked')),
    note       TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    CONSTRAINT "hotspot_devices.mac" UNIQUE (hotspot_id, mac)
);

CREATE TABLE grants (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id  BIGINT NOT NULL REFERENCES gateways (id),
    method      TEXT COLLATE "C" NOT NULL,
    enabled     BOOLEAN NOT NULL,
    starts_ms   BIGINT NOT NULL,
    ends_ms     BIGINT,
    limit_down  BIGINT,
    limit_up    BIGINT,
    limit_total BIGINT,
    used_down   BIGINT NOT NULL,
    used_up     BIGINT NOT NULL,
    spent       BOOLEAN NOT NULL,
    speed_down  BIGINT NOT NULL,
    speed_up    BIGINT NOT NULL,
    devices     BIGINT NOT NULL CHECK (devices > 0),
    slots_used  BIGINT NOT NULL CHECK (slots_used BETWEEN 0 AND devices),
    mark        BIGINT,
    CONSTRAINT "grants.mark" UNIQUE (gateway_id, mark)
);

-- Devices that hold a slot of a grant. 'silent': may come back without a login while the grant lives.
CREATE TABLE grant_devices (
    grant_id   BIGINT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    mac        TEXT COLLATE "C" NOT NULL,
    hotspot_id BIGINT NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    silent     BOOLEAN NOT NULL,
    first_ms   BIGINT NOT NULL,
    last_ms    BIGINT NOT NULL,
    PRIMARY KEY (grant_id, mac)
);
CREATE INDEX grant_devices_by_mac ON grant_devices (mac);

CREATE TABLE vouchers (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id      BIGINT NOT NULL REFERENCES gateways (id),
    grant_id        BIGINT NOT NULL REFERENCES grants (id),
    username        TEXT COLLATE "C" NOT NULL,
    username_folded TEXT COLLATE "C" NOT NULL,
    passcode        BYTEA NOT NULL,
    code_only       BOOLEAN NOT NULL,
    fullname        TEXT COLLATE "C" NOT NULL,
    note            TEXT COLLATE "C" NOT NULL,
    valid_for       TEXT COLLATE "C" NOT NULL,
    valid_from_ms   BIGINT NOT NULL,
    from_first_use  BOOLEAN NOT NULL,
    created_ms      BIGINT NOT NULL,
    modified_ms     BIGINT NOT NULL,
    first_login_ms  BIGINT,
    last_login_ms   BIGINT,
    last_mac        TEXT COLLATE "C",
    CONSTRAINT "vouchers.grant_id" UNIQUE (grant_id),
    CONSTRAINT "vouchers.username_folded" UNIQUE (gateway_id, username_folded)
);
-- Lists are read page by page, in this order.
CREATE INDEX vouchers_by_id ON vouchers (gateway_id, id);

-- Persons by how they logged in. 'identity' is what makes them one person: the folded e-mail address, the digits of the
-- number, issuer and subject, or the MAC address.
CREATE TABLE guests (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id     BIGINT NOT NULL REFERENCES gateways (id),
    method         TEXT COLLATE "C" NOT NULL,
    identity       TEXT COLLATE "C" NOT NULL,
    grant_id       BIGINT REFERENCES grants (id),
    email          TEXT COLLATE "C",
    mobile         TEXT COLLATE "C",
    name           TEXT COLLATE "C",
    picture        TEXT COLLATE "C",
    comments       TEXT COLLATE "C" NOT NULL,
    comments1      TEXT COLLATE "C" NOT NULL,
    comments2      TEXT COLLATE "C" NOT NULL,
    marketing      BOOLEAN NOT NULL,
    verified       BOOLEAN NOT NULL,
    visits         BIGINT NOT NULL,
    last_mac       TEXT COLLATE "C" NOT NULL,
    created_ms     BIGINT NOT NULL,
    modified_ms    BIGINT NOT NULL,
    last_login_ms  BIGINT NOT NULL,
    CONSTRAINT "guests.identity" UNIQUE (gateway_id, method, identity)
);
CREATE INDEX guests_of_grant ON guests (grant_id);
CREATE INDEX guests_by_id ON guests (gateway_id, method, id);
CREATE INDEX guests_by_last_login ON guests (gateway_id, last_login_ms);

-- What a guest agreed to or not: one row for each time that it was asked.
CREATE TABLE consents (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guest_id   BIGINT NOT NULL REFERENCES guests (id) ON DELETE CASCADE,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('terms', 'marketing')),
    given      BOOLEAN NOT NULL,
    version    TEXT COLLATE "C" NOT NULL,
    channel    TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX consents_of_guest ON consents (guest_id);

CREATE TABLE sessions (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    hotspot_id BIGINT REFERENCES hotspots (id) ON DELETE SET NULL,
    grant_id   BIGINT NOT NULL REFERENCES grants (id),
    voucher_id BIGINT REFERENCES vouchers (id) ON DELETE SET NULL,
    guest_id   BIGINT REFERENCES guests (id) ON DELETE SET NULL,
    method     TEXT COLLATE "C" NOT NULL,
    login      TEXT COLLATE "C" NOT NULL,
    mac        TEXT COLLATE "C" NOT NULL,
    started_ms BIGINT NOT NULL,
    ends_ms    BIGINT,
    ended_ms   BIGINT,
    end_reason TEXT COLLATE "C",
    bytes_down BIGINT NOT NULL,
    bytes_up   BIGINT NOT NULL,
    raw_down   BIGINT NOT NULL,
    raw_up     BIGINT NOT NULL,
    collected  BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX "sessions.mac" ON sessions (hotspot_id, mac) WHERE ended_ms IS NULL;
CREATE INDEX sessions_live ON sessions (gateway_id, grant_id) WHERE NOT collected;
CREATE INDEX sessions_of_grant ON sessions (grant_id);
CREATE INDEX sessions_of_guest ON sessions (guest_id);
CREATE INDEX sessions_of_voucher ON sessions (voucher_id);
CREATE INDEX sessions_by_end ON sessions (gateway_id, ended_ms);

-- Only of open sessions.
CREATE TABLE session_addresses (
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    address    TEXT COLLATE "C" NOT NULL,
    session_id BIGINT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    CONSTRAINT "session_addresses.address" PRIMARY KEY (gateway_id, address)
);
CREATE INDEX session_addresses_of ON session_addresses (session_id);

CREATE TABLE logins (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    hotspot_id BIGINT REFERENCES hotspots (id) ON DELETE SET NULL,
    created_ms BIGINT NOT NULL,
    method     TEXT COLLATE "C" NOT NULL,
    login      TEXT COLLATE "C" NOT NULL,
    mac        TEXT COLLATE "C" NOT NULL,
    address    TEXT COLLATE "C" NOT NULL,
    success    BOOLEAN NOT NULL,
    reason     TEXT COLLATE "C"
);
CREATE INDEX logins_by_id ON logins (gateway_id, id);
CREATE INDEX logins_by_time ON logins (gateway_id, created_ms);

-- One-time codes under way, as digests; what else the guest entered is sealed.
CREATE TABLE login_codes (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    hotspot_id BIGINT NOT NULL REFERENCES hotspots (id) ON DELETE CASCADE,
    method     TEXT COLLATE "C" NOT NULL,
    identity   TEXT COLLATE "C" NOT NULL,
    mac        TEXT COLLATE "C" NOT NULL,
    digest     BYTEA NOT NULL,
    answers    BYTEA NOT NULL,
    tries_left BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    CONSTRAINT "login_codes.mac" UNIQUE (hotspot_id, method, mac)
);
CREATE INDEX login_codes_by_expiry ON login_codes (gateway_id, expires_ms);

-- Mail and SMS to be sent; the message is sealed.
CREATE TABLE outbox (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id  BIGINT NOT NULL REFERENCES gateways (id),
    channel     TEXT COLLATE "C" NOT NULL CHECK (channel IN ('mail', 'sms')),
    message     BYTEA NOT NULL,
    tries       BIGINT NOT NULL,
    next_try_ms BIGINT NOT NULL,
    created_ms  BIGINT NOT NULL,
    expires_ms  BIGINT NOT NULL,
    error       TEXT COLLATE "C"
);
CREATE INDEX outbox_by_next_try ON outbox (gateway_id, next_try_ms);

-- Answers of the hotspot API that a client may ask for again by the same key.
CREATE TABLE idempotency_keys (
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    key_digest BYTEA NOT NULL,
    request    BYTEA NOT NULL,
    answer     BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    CONSTRAINT "idempotency_keys.key_digest" PRIMARY KEY (gateway_id, key_digest)
);
CREATE INDEX idempotency_keys_by_time ON idempotency_keys (gateway_id, created_ms);
