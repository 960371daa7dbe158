-- The merge that last wrote the row: until its batch is delivered, Cassandra may still have the previous row. Rows
-- written before this migration count as delivered.
ALTER TABLE analytics.users ADD COLUMN seq bigint NOT NULL DEFAULT 0;
