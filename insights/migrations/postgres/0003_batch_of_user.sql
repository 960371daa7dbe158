-- The merge that last wrote the row: until its batch is acknowledged, Cassandra may have the row before. Rows of earlier
-- versions count as acknowledged.
ALTER TABLE analytics.users ADD COLUMN seq bigint NOT NULL DEFAULT 0;
