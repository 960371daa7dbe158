-- When the new users of a batch were fetched: percentiles 0 to 100, the oldest first. Null of batches without one, or of
-- earlier versions.
ALTER TABLE analytics.batches ADD COLUMN event_times timestamptz[];

-- What the dashboard asks for: the last pages, and the refusals of the last days.
CREATE INDEX batches_staged ON staging.batches (staged_at);
CREATE INDEX records_refused ON quarantine.records (quarantined_at);
