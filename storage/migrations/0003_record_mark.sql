-- Which record a log is in the database with: a data directory that was put back to an earlier point gives the same numbers to
-- other records, and rows of those that were left behind must not become part of its history.

ALTER TABLE coinbitclub.projector_progress ADD COLUMN record_mark bytea;
COMMENT ON COLUMN coinbitclub.projector_progress.record_mark IS
    'The first half of the record''s SHA-256; empty when the log begins behind it; NULL until something is written after this column came.';
