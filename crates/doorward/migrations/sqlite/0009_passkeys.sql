-- Passkeys of operators (WebAuthn): public keys, with how often each was used.

CREATE TABLE passkeys (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id  INTEGER NOT NULL REFERENCES gateways (id),
    operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    credential  BLOB NOT NULL,
    -- JSON.
    public_key  TEXT NOT NULL,
    label       TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    used_ms     INTEGER,
    UNIQUE (gateway_id, credential)
) STRICT;
CREATE INDEX passkeys_operator ON passkeys (operator_id);
