-- The pace of requests to each source, which insights/ingest/pace.py explains.
CREATE TABLE staging.source_pace (
    source text PRIMARY KEY,
    opened_at timestamptz NOT NULL,
    requested_at timestamptz NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    aligned boolean NOT NULL DEFAULT false,
    previous_at timestamptz,
    booked bigint NOT NULL DEFAULT 0,
    refused_at timestamptz,
    resume_at timestamptz,
    quota_rows bigint,
    quota_seconds double precision,
    met_at timestamptz
);
