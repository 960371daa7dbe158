-- What retention took from analytics.batches, a row each time; the messages they had read still count as read.
CREATE TABLE analytics.pruned_batches (
    pruned_at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    batches bigint NOT NULL,
    read bigint NOT NULL
);
