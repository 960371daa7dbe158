-- Of the row's content when it was written, so that the ledger can tell whether the row was changed since. Null for rows
-- written before this migration.
ALTER TABLE staging.users ADD COLUMN digest bigint;
ALTER TABLE analytics.users ADD COLUMN digest bigint;
ALTER TABLE quarantine.records ADD COLUMN digest bigint;
ALTER TABLE analytics.batches ADD COLUMN digest bigint;
ALTER TABLE staging.batches ADD COLUMN digest bigint;
