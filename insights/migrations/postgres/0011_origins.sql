-- The message that wrote the row, as topic/partition/offset: a message without a version follows the earlier ones of its
-- partition. Null for rows written before this migration.
ALTER TABLE analytics.users ADD COLUMN origin text;

-- For every merge, which skips the messages that a sink has refused before.
CREATE INDEX records_sink_refused ON quarantine.records (key) WHERE reason = 'SINK_REFUSED';
