-- What operators say of names: forwarders, own records, block lists (JSON).

CREATE TABLE dns (
    gateway_id BIGINT PRIMARY KEY REFERENCES gateways (id),
    settings   TEXT COLLATE "C" NOT NULL
);
