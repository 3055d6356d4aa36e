-- A list of persons is of one method, the last to log in first: its pages are read off this index.

DROP INDEX guests_by_last_login;
CREATE INDEX guests_by_last_login ON guests (gateway_id, method, last_login_ms);
