-- The same schema as migrations/postgres/0007_vpn_lists.sql.
-- Lists of accounts, sorted.
CREATE INDEX accounts_by_down ON accounts (gateway_id, bandwidth_down, id);
CREATE INDEX accounts_by_expiry ON accounts (gateway_id, COALESCE(expires_at_ms, 9223372036854775807), id);
CREATE INDEX accounts_by_server ON accounts (server_id, id);
