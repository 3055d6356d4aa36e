-- Who a line of the login log is about, and when sessions are due. The same schema as migrations/sqlite/0006_guests.sql.

-- NULL: nobody who is known by it, or a voucher.
ALTER TABLE logins ADD COLUMN guest_id BIGINT REFERENCES guests (id) ON DELETE SET NULL;
CREATE INDEX logins_of_guest ON logins (guest_id) WHERE guest_id IS NOT NULL;

-- The earlier one of the ends of session and grant; NULL: neither has an end.
ALTER TABLE sessions ADD COLUMN due_ms BIGINT;
UPDATE sessions SET due_ms = (SELECT CASE WHEN g.ends_ms IS NULL OR sessions.ends_ms < g.ends_ms THEN sessions.ends_ms ELSE g.ends_ms END
    FROM grants g WHERE g.id = sessions.grant_id) WHERE ended_ms IS NULL;
CREATE INDEX sessions_due ON sessions (gateway_id, due_ms) WHERE ended_ms IS NULL;
