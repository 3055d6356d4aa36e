-- Operators of the panel: second factor, look, sessions, where they come from, and what they changed.

ALTER TABLE operators ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1));
-- Sealed; NULL: no second factor.
ALTER TABLE operators ADD COLUMN totp BLOB;
-- The last step (RFC 6238) that was used: a code works once.
ALTER TABLE operators ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0;
-- Empty: the browser's.
ALTER TABLE operators ADD COLUMN lang TEXT NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN theme TEXT NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark'));
ALTER TABLE operators ADD COLUMN last_login_ms INTEGER;

CREATE TABLE panel_sessions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id  INTEGER NOT NULL REFERENCES gateways (id),
    operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    digest      BLOB NOT NULL,
    address     TEXT NOT NULL,
    user_agent  TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    seen_ms     INTEGER NOT NULL,
    UNIQUE (digest)
) STRICT;
CREATE INDEX panel_sessions_operator ON panel_sessions (operator_id);

-- Addresses that an operator signed in from: a lock of their name does not hold there.
CREATE TABLE operator_addresses (
    operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    address     TEXT NOT NULL,
    seen_ms     INTEGER NOT NULL,
    PRIMARY KEY (operator_id, address)
) STRICT, WITHOUT ROWID;

-- Written before the change it tells of; the outcome behind it.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    created_ms INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    address    TEXT NOT NULL,
    module     TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    before     TEXT NOT NULL,
    after      TEXT NOT NULL,
    -- NULL: not told, as when the gateway was killed meanwhile; empty: done; else why not.
    outcome    TEXT
) STRICT;
CREATE INDEX audit_gateway ON audit (gateway_id, id);
CREATE INDEX audit_created ON audit (gateway_id, created_ms);

-- What a hash may do (all, read), and until when.
ALTER TABLE access_hashes ADD COLUMN scope TEXT NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'read'));
ALTER TABLE access_hashes ADD COLUMN expires_ms INTEGER;

-- Vouchers that were made together were made at the same moment.
CREATE INDEX vouchers_created ON vouchers (gateway_id, created_ms);
