-- From which offsets the stream reads a topic: recorded at its first start, and each time that it goes on elsewhere
-- because messages are gone. Batches with a greater `seq` belong to the newest row of their topic. `lost` has, by
-- partition, the first and the end offset of the messages that nobody had read.
CREATE TABLE analytics.starting_offsets (
    topic text NOT NULL,
    seq bigint NOT NULL,
    topic_id text NOT NULL,
    offsets jsonb NOT NULL,
    lost jsonb NOT NULL DEFAULT '{}',
    recreated boolean NOT NULL DEFAULT false,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, seq)
);
