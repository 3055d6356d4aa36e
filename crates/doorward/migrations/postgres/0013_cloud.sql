-- The cloud endpoint: which relay this gateway dials, and as whom.

CREATE TABLE cloud (
    gateway_id BIGINT PRIMARY KEY REFERENCES gateways (id),
    enabled    BOOLEAN NOT NULL,
    host       TEXT COLLATE "C" NOT NULL,
    port       BIGINT NOT NULL CHECK (port BETWEEN 1 AND 65535),
    -- PEM of a private certificate authority; empty: the system's.
    ca         TEXT COLLATE "C" NOT NULL,
    domain     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    -- Sealed.
    credential BYTEA NOT NULL,
    seen_ms    BIGINT
);
