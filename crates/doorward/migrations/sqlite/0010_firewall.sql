-- The operator's own rules (JSON): those in effect; those before, while somebody must still confirm the change; and those that
-- are being edited.

CREATE TABLE firewall (
    gateway_id    INTEGER PRIMARY KEY REFERENCES gateways (id),
    active        TEXT NOT NULL,
    previous      TEXT,
    confirm_by_ms INTEGER,
    draft         TEXT,
    CHECK ((previous IS NULL) = (confirm_by_ms IS NULL))
) STRICT;
