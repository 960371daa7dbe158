-- Which layout of Cassandra's tables a batch was delivered to, set together with served_at. A release that is older or
-- newer, and runs in between because of a rollback, writes other tables than this one reads.
ALTER TABLE analytics.batches ADD COLUMN layout smallint;
