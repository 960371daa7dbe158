CREATE TABLE analytics.users (
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    event_id text NOT NULL,
    event_time timestamptz NOT NULL,
    batch_id text,
    gender text NOT NULL,
    title text,
    first_name text NOT NULL,
    last_name text NOT NULL,
    full_name text NOT NULL,
    username text,
    email text NOT NULL,
    email_domain text NOT NULL,
    phone text,
    phone_valid boolean NOT NULL,
    cell text,
    cell_valid boolean NOT NULL,
    street text,
    city text,
    state text,
    postcode text,
    address text,
    country_code text NOT NULL,
    country text NOT NULL,
    continent text NOT NULL,
    sub_region text NOT NULL,
    latitude double precision,
    longitude double precision,
    distance_km double precision,
    location_plausible boolean,
    timezone text,
    utc_offset_minutes integer,
    born_at timestamptz NOT NULL,
    age integer NOT NULL,
    age_band text NOT NULL,
    generation text NOT NULL,
    registered_at timestamptz NOT NULL,
    registered_year integer NOT NULL,
    registered_month text NOT NULL,
    tenure_days integer NOT NULL,
    picture_url text,
    PRIMARY KEY (user_id)
);
CREATE INDEX users_event ON analytics.users (event_id);

-- A delivered event that is not its user's newest: replaced since, or older than the stored version when it arrived.
CREATE TABLE analytics.superseded (
    event_id text NOT NULL,
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    superseded_by text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (event_id, user_id)
);

-- The old key of a user whose row in Cassandra moved to another; null where the row of that table stayed.
CREATE TABLE analytics.moved (
    user_id uuid NOT NULL,
    version bigint NOT NULL,
    seq bigint NOT NULL,
    country_code text,
    registered_month text,
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, version)
);
CREATE INDEX moved_seq ON analytics.moved (seq);

CREATE TABLE analytics.user_counts (
    dimension text NOT NULL,
    value text NOT NULL,
    count bigint NOT NULL CHECK (count >= 0),
    seq bigint NOT NULL,
    PRIMARY KEY (dimension, value)
);
CREATE INDEX user_counts_seq ON analytics.user_counts (seq);

-- One row per micro-batch; the offsets prove that a repeated batch is the same batch. `seq` orders the merges, in
-- microseconds, so that it is ahead of Cassandra's write timestamps even after a restore of this database.
CREATE TABLE analytics.batches (
    query_id text NOT NULL,
    batch_id bigint NOT NULL,
    seq bigint NOT NULL UNIQUE,
    offsets jsonb NOT NULL,
    read integer NOT NULL,
    accepted integer NOT NULL,
    rejected integer NOT NULL,
    inserted integer NOT NULL,
    updated integer NOT NULL,
    started_at timestamptz NOT NULL,
    merged_at timestamptz NOT NULL DEFAULT now(),
    served_at timestamptz,
    PRIMARY KEY (query_id, batch_id)
);
CREATE INDEX batches_unserved ON analytics.batches (seq) WHERE served_at IS NULL;
