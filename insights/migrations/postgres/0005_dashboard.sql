-- When the new users of a batch were fetched: percentiles 0 to 100, oldest first. Null for batches without new users,
-- and for those merged before this migration.
ALTER TABLE analytics.batches ADD COLUMN event_times timestamptz[];

-- For the dashboard's queries: the latest pages, and the records rejected in the last days.
CREATE INDEX batches_staged ON staging.batches (staged_at);
CREATE INDEX records_refused ON quarantine.records (quarantined_at);
