-- What operators say of names: forwarders, own records, block lists (JSON).

CREATE TABLE dns (
    gateway_id INTEGER PRIMARY KEY REFERENCES gateways (id),
    settings   TEXT NOT NULL
) STRICT;
