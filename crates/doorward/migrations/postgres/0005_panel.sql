-- Operators of the panel: second factor, look, sessions, where they come from, and what they changed.

ALTER TABLE operators ADD COLUMN enabled BOOLEAN NOT NULL DEFAULT TRUE;
-- Sealed; NULL: no second factor.
ALTER TABLE operators ADD COLUMN totp BYTEA;
-- The last step (RFC 6238) that was used: a code works once.
ALTER TABLE operators ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;
-- Empty: the browser's.
ALTER TABLE operators ADD COLUMN lang TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE operators ADD COLUMN theme TEXT COLLATE "C" NOT NULL DEFAULT 'auto' CHECK (theme IN ('auto', 'light', 'dark'));
ALTER TABLE operators ADD COLUMN last_login_ms BIGINT;

CREATE TABLE panel_sessions (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id  BIGINT NOT NULL REFERENCES gateways (id),
    operator_id BIGINT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    digest      BYTEA NOT NULL,
    address     TEXT COLLATE "C" NOT NULL,
    user_agent  TEXT COLLATE "C" NOT NULL,
    created_ms  BIGINT NOT NULL,
    seen_ms     BIGINT NOT NULL,
    CONSTRAINT "panel_sessions.digest" UNIQUE (digest)
);
CREATE INDEX panel_sessions_operator ON panel_sessions (operator_id);

-- Addresses that an operator signed in from: a lock of their name does not hold there.
CREATE TABLE operator_addresses (
    operator_id BIGINT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    address     TEXT COLLATE "C" NOT NULL,
    seen_ms     BIGINT NOT NULL,
    PRIMARY KEY (operator_id, address)
);

-- Written before the change it tells of; the outcome behind it.
CREATE TABLE audit (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    created_ms BIGINT NOT NULL,
    actor      TEXT COLLATE "C" NOT NULL,
    address    TEXT COLLATE "C" NOT NULL,
    module     TEXT COLLATE "C" NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,
    object     TEXT COLLATE "C" NOT NULL,
    before     TEXT COLLATE "C" NOT NULL,
    after      TEXT COLLATE "C" NOT NULL,
    -- NULL: not told, as when the gateway was killed meanwhile; empty: done; else why not.
    outcome    TEXT COLLATE "C"
);
CREATE INDEX audit_gateway ON audit (gateway_id, id);
CREATE INDEX audit_created ON audit (gateway_id, created_ms);

-- What a hash may do (all, read), and until when.
ALTER TABLE access_hashes ADD COLUMN scope TEXT COLLATE "C" NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'read'));
ALTER TABLE access_hashes ADD COLUMN expires_ms BIGINT;

-- Vouchers that were made together were made at the same moment.
CREATE INDEX vouchers_created ON vouchers (gateway_id, created_ms);
