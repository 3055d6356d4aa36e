-- One-time links to accounts' configurations. The same schema as migrations/postgres/0004_one_time_links.sql.

-- A key is found by its digest; it stands here sealed as well, because the VPN API lists it.
CREATE TABLE one_time_links (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway_id INTEGER NOT NULL REFERENCES gateways (id),
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest     BLOB NOT NULL,
    key        BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    uses       INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
    used_ms    INTEGER,
    used_from  TEXT,
    UNIQUE (gateway_id, digest)
) STRICT;
CREATE INDEX one_time_links_by_id ON one_time_links (gateway_id, id);
CREATE INDEX one_time_links_by_expiry ON one_time_links (gateway_id, expires_ms);
CREATE INDEX one_time_links_of ON one_time_links (account_id);

-- How the page of a link looks, as JSON.
CREATE TABLE link_settings (
    gateway_id INTEGER PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    settings   TEXT NOT NULL
) STRICT;
