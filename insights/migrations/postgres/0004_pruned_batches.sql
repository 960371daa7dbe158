-- The batches that retention deleted from analytics.batches, one row per run; the messages that they read still count.
CREATE TABLE analytics.pruned_batches (
    pruned_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    batches bigint NOT NULL,
    read bigint NOT NULL
);
