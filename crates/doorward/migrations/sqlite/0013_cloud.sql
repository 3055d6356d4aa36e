-- The cloud endpoint: which relay this gateway dials, and as whom.

CREATE TABLE cloud (
    gateway_id INTEGER PRIMARY KEY REFERENCES gateways (id),
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    host       TEXT NOT NULL,
    port       INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    -- PEM of a private certificate authority; empty: the system's.
    ca         TEXT NOT NULL,
    domain     TEXT NOT NULL,
    name       TEXT NOT NULL,
    -- Sealed.
    credential BLOB NOT NULL,
    seen_ms    INTEGER
) STRICT;
