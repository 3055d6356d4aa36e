-- Lists of the panel, searched and sorted (docs/adr/0008-lists.md). An index in the order of making, with all that a list is
-- searched and sorted by: to look through it is to read a tenth of the table. SQLite alone: PostgreSQL takes no expression
-- from an index, refuses long rows in one, and needs none to be fast enough.
--
-- Each takes the place of an index that it begins with.

DROP INDEX vouchers_by_id;
CREATE INDEX vouchers_listed
    ON vouchers (gateway_id, id, username_folded, LOWER(fullname), LOWER(note), last_login_ms, grant_id);

CREATE INDEX accounts_listed
    ON accounts (gateway_id, id, LOWER(name), LOWER(username), quota_period, quota_use_start_ms, quota_use_bytes);

DROP INDEX guests_by_id;
CREATE INDEX guests_listed ON guests (gateway_id, method, id, LOWER(identity), LOWER(email), mobile, LOWER(name),
    LOWER(last_mac), visits, last_login_ms);

DROP INDEX logins_by_id;
CREATE INDEX logins_listed ON logins (gateway_id, id, LOWER(login), LOWER(mac), address, method, success);

DROP INDEX audit_gateway;
CREATE INDEX audit_listed
    ON audit (gateway_id, id, LOWER(actor), LOWER(module), LOWER(action), LOWER(object), address);
