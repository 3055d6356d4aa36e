-- When backups are made, how many are kept, and where they go: one document, sealed. And how the last one went.

CREATE TABLE backup_settings (
    gateway_id INTEGER PRIMARY KEY REFERENCES gateways (id) ON DELETE CASCADE,
    -- JSON, sealed: it holds passwords and the passphrase.
    settings   BLOB,
    last_ms    INTEGER,
    -- Empty: it went well.
    last_error TEXT
) STRICT;
