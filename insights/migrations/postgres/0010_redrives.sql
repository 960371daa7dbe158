-- What re-drives have published. A record whose origin is here and which is open is on its way, or its message is lost.
CREATE TABLE quarantine.redrives (
    origin text NOT NULL,
    event_id text NOT NULL,
    patched boolean NOT NULL,
    redriven_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (origin, redriven_at)
);
CREATE INDEX redrives_event ON quarantine.redrives (event_id) WHERE patched;
