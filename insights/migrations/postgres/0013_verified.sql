-- What the check of the ledger has verified, so that the next one need only verify the rest. Without a row, everything.
-- `conditions` names what the rows depend on, `seq` the newest merge and `offsets`, by partition, the end of the messages
-- that were compared. `walks` has how far the repeated comparison of what was verified before has come.
CREATE TABLE analytics.verified (
    conditions text PRIMARY KEY,
    seq bigint NOT NULL,
    offsets jsonb NOT NULL,
    walks jsonb NOT NULL,
    verified_at timestamptz NOT NULL,
    full_at timestamptz NOT NULL
);

-- The keys of staged records after the last_id of the previous row, up to its own: their number, and the sum of a hash of
-- their pages, which must agree with the pages' totals.
CREATE TABLE analytics.verified_records (
    last_id bigint PRIMARY KEY,
    keys bigint NOT NULL,
    pages numeric NOT NULL
);

-- By digest bucket of user ids, the sum of a hash of everything that its users are counted by, which must agree with
-- analytics.user_counts.
CREATE TABLE analytics.verified_counts (
    bucket integer PRIMARY KEY,
    counted numeric NOT NULL
);

-- Sums over the pages staged before `until`, recorded by the check, so that totals need not be summed over all pages. At
-- most one row.
CREATE TABLE staging.page_totals (
    until timestamptz PRIMARY KEY,
    fetched bigint NOT NULL,
    staged bigint NOT NULL,
    duplicates bigint NOT NULL
);
