-- Passkeys of operators (WebAuthn): public keys, with how often each was used.

CREATE TABLE passkeys (
    id          BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    gateway_id  BIGINT NOT NULL REFERENCES gateways (id),
    operator_id BIGINT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    credential  BYTEA NOT NULL,
    -- JSON.
    public_key  TEXT COLLATE "C" NOT NULL,
    label       TEXT COLLATE "C" NOT NULL,
    created_ms  BIGINT NOT NULL,
    used_ms     BIGINT,
    CONSTRAINT "passkeys.credential" UNIQUE (gateway_id, credential)
);
CREATE INDEX passkeys_operator ON passkeys (operator_id);
