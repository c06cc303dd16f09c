-- A history that begins in the middle begins without the users whose rows are refused: several of one place in the log.

ALTER TABLE coinbitclub.refused_records
    ADD COLUMN user_id bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT refused_records_pkey,
    ADD PRIMARY KEY (generation, shard, lsn, user_id);
COMMENT ON COLUMN coinbitclub.refused_records.user_id IS
    'Whose rows the history begins without, behind this record; 0 for a record that was passed over.';
