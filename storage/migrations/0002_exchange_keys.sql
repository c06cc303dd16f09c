-- Accounts on exchanges: where they are, and what may be shown of their keys.
--
-- The sealed key is not kept here. Nothing that reads this database signs anything, so a copy of it would only be one more
-- place to steal it from; the logs, the snapshots and their backups have it, and need it.

ALTER TABLE coinbitclub.exchange_accounts
    ADD COLUMN environment text,
    ADD COLUMN host text,
    ADD COLUMN key_kind text,
    ADD COLUMN key_hint text,
    ADD COLUMN key_health text NOT NULL DEFAULT 'not_needed',
    ADD COLUMN key_expires_at timestamptz;
COMMENT ON COLUMN coinbitclub.exchange_accounts.environment IS 'mainnet, testnet or demo; NULL for paper.';
COMMENT ON COLUMN coinbitclub.exchange_accounts.host IS 'The REST host of a regional site; NULL for the main one.';
COMMENT ON COLUMN coinbitclub.exchange_accounts.key_hint IS 'The last four characters of the key''s name.';
COMMENT ON COLUMN coinbitclub.exchange_accounts.key_health IS
    'not_needed, missing, pending, healthy, or why it cannot be used. All accounts before this column were paper.';
