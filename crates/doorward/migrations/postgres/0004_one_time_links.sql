-- One-time links to accounts' configurations. The same schema as migrations/sqlite/0004_one_time_links.sql.

-- A key is found by its digest; it stands here sealed as well, because the VPN API lists it.
CREATE TABLE one_time_links (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway_id BIGINT NOT NULL REFERENCES gateways (id),
    account_id BIGINT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest     BYTEA NOT NULL,
    key        BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    uses       BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
    used_ms    BIGINT,
    used_from  TEXT COLLATE "C",
    CONSTRAINT "one_time_links.digest" UNIQUE (gateway_id, digest)
);
CREATE INDEX one_time_links_by_id ON one_time_links (gateway_id, id);
CREATE INDEX one_time_links_by_expiry ON one_time_links (gateway_id, expires_ms);
CREATE INDEX one_time_links_of ON one_time_links (account_id);

-- How the page of a link looks, as JSON.
CREATE TABLE link_settings (
    gateway_id BIGINT PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    settings   TEXT COLLATE "C" NOT NULL
);
