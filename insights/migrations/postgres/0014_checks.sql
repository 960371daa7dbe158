-- The results of the checks of the ledger, for monitoring. `hops` has, by name, a hop's state and the records of both
-- sides: {"published": {"state": "closed", "left": 5, "right": 5, "pending": 0}}.
CREATE TABLE analytics.checks (
    checked_at timestamptz PRIMARY KEY,
    scope text NOT NULL,
    state text NOT NULL,
    seconds double precision NOT NULL,
    hops jsonb NOT NULL
);
