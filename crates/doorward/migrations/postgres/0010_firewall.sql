-- The operator's own rules (JSON): those in effect; those before, while somebody must still confirm the change; and those that
-- are being edited.

CREATE TABLE firewall (
    gateway_id    BIGINT PRIMARY KEY REFERENCES gateways (id),
    active        TEXT COLLATE "C" NOT NULL,
    previous      TEXT COLLATE "C",
    confirm_by_ms BIGINT,
    draft         TEXT COLLATE "C",
    CHECK ((previous IS NULL) = (confirm_by_ms IS NULL))
);
