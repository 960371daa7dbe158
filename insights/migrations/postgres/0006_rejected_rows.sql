-- Rows of a page that cannot be staged as JSON: each has a key in staging.user_keys and a record in quarantine.records
-- with the origin staging/<id>, and no row in staging.users.
ALTER TABLE staging.batches ADD COLUMN quarantined integer NOT NULL DEFAULT 0;
ALTER TABLE staging.batches DROP CONSTRAINT batches_check;
ALTER TABLE staging.batches ADD CONSTRAINT batches_check CHECK (fetched = staged + duplicates + quarantined);
