CREATE SCHEMA staging;
CREATE SCHEMA quarantine;
CREATE SCHEMA analytics;

-- Transaction ids restart after a logical restore, so the cursor leads with the epoch of the cluster.
CREATE TABLE staging.epochs (
    epoch integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system_identifier bigint NOT NULL UNIQUE,
    started_at timestamptz NOT NULL DEFAULT now()
);

-- The epoch of the cluster that executes the function, created on first use.
CREATE FUNCTION staging.current_epoch() RETURNS integer LANGUAGE sql AS $$
    INSERT INTO staging.epochs (system_identifier)
    SELECT system_identifier FROM pg_control_system()
    WHERE NOT EXISTS (SELECT FROM staging.epochs e WHERE e.system_identifier = pg_control_system.system_identifier)
    ON CONFLICT DO NOTHING;
    SELECT epoch FROM staging.epochs JOIN pg_control_system() USING (system_identifier);
$$;

CREATE TABLE staging.batches (
    batch_id text PRIMARY KEY,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    seed text NOT NULL,
    page integer NOT NULL,
    fetched integer NOT NULL,
    staged integer NOT NULL,
    duplicates integer NOT NULL,
    api_version text,
    answer_sha256 text NOT NULL,
    answer_bytes bigint NOT NULL,
    fetched_at timestamptz NOT NULL,
    staged_at timestamptz NOT NULL DEFAULT now(),
    CHECK (fetched = staged + duplicates)
);

CREATE SEQUENCE staging.user_ids;

CREATE TABLE staging.users (
    id bigint NOT NULL,
    epoch integer NOT NULL,
    xact_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    staged_on date NOT NULL,
    user_key uuid NOT NULL,
    version bigint NOT NULL,
    event_time timestamptz NOT NULL,
    batch_id text NOT NULL,
    payload json NOT NULL,
    PRIMARY KEY (staged_on, id)
) PARTITION BY RANGE (staged_on);

CREATE INDEX users_commit_order ON staging.users (epoch, xact_id, id);

-- Keeps users unique across the daily partitions, and outlives them.
CREATE TABLE staging.user_keys (
    user_key uuid PRIMARY KEY,
    id bigint NOT NULL UNIQUE,
    staged_on date NOT NULL,
    batch_id text NOT NULL
);

-- Daily partitions that retention dropped; the ids of their rows remain in staging.user_keys.
CREATE TABLE staging.pruned (
    staged_on date PRIMARY KEY,
    row_count bigint NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- The cursor: each of the `published` rows up to (epoch, xact_id, id) is acknowledged by the broker, or was too large and
-- is one of the `quarantined`.
CREATE TABLE staging.publisher (
    name text PRIMARY KEY,
    fence bigint NOT NULL DEFAULT 0,
    epoch integer NOT NULL DEFAULT 0,
    xact_id xid8 NOT NULL DEFAULT '0',
    id bigint NOT NULL DEFAULT 0,
    published bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE quarantine.records (
    origin text PRIMARY KEY,
    event_id text NOT NULL,
    reason text NOT NULL,
    field text NOT NULL,
    detail text NOT NULL,
    key text,
    batch_id text,
    version bigint NOT NULL,
    event_time timestamptz NOT NULL,
    redrives integer NOT NULL DEFAULT 0,
    size integer NOT NULL,
    sha256 text NOT NULL,
    payload bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text
);
CREATE INDEX records_open ON quarantine.records (reason, quarantined_at) WHERE resolved_at IS NULL;
CREATE INDEX records_event ON quarantine.records (event_id);
