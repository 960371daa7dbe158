-- A restore to an earlier time, and a failover to a replica that lacks transactions, begin a new timeline of the cluster.
-- Kafka and the sinks then have records with ids that it would assign again.
ALTER TABLE staging.epochs
    ADD COLUMN timeline bigint NOT NULL DEFAULT 0,
    -- Ids between these two that staging.user_keys lacks are of rows that the new epoch's cluster never had. The first is
    -- below the ids of pages that may have been staged while others were, the second above those that can be lost.
    ADD COLUMN ids_after bigint,
    ADD COLUMN ids_until bigint,
    DROP CONSTRAINT epochs_system_identifier_key,
    ADD UNIQUE (system_identifier, timeline);

-- The timeline of the position at which the server writes: the control file has the new one only after a checkpoint.
CREATE FUNCTION staging.current_timeline() RETURNS bigint LANGUAGE sql STABLE
    RETURN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint;

UPDATE staging.epochs SET timeline = staging.current_timeline()
WHERE system_identifier = (SELECT system_identifier FROM pg_control_system());

-- The epoch of the timeline on which the function is executed, created on first use. A row's id is assigned after the
-- call: from a new epoch on, ids follow the clock, so that they are ahead of those that a lost timeline has assigned.
CREATE OR REPLACE FUNCTION staging.current_epoch() RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cluster CONSTANT bigint := (SELECT c.system_identifier FROM pg_control_system() AS c);
    line CONSTANT bigint := staging.current_timeline();
    settled_id bigint;
    greatest_id bigint;
    next_id bigint;
    created integer;
BEGIN
    IF NOT EXISTS (SELECT FROM staging.epochs AS e WHERE e.system_identifier = cluster AND e.timeline = line) THEN
        INSERT INTO staging.epochs (system_identifier, timeline) VALUES (cluster, line)
        ON CONFLICT DO NOTHING RETURNING epoch INTO created;
        IF created IS NOT NULL AND (line > 1 OR EXISTS (SELECT FROM staging.epochs AS e WHERE e.epoch <> created)) THEN
            SELECT k.id INTO settled_id FROM staging.user_keys AS k
            WHERE EXISTS (
                SELECT FROM staging.batches AS b WHERE b.batch_id = k.batch_id
                AND b.staged_at <= (SELECT max(staged_at) FROM staging.batches) - interval '10 minutes'
            ) ORDER BY k.id DESC LIMIT 1;
            greatest_id := coalesce((SELECT max(k.id) FROM staging.user_keys AS k), 0);
            next_id := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, greatest_id + 1);
            UPDATE staging.epochs
            SET ids_after = coalesce(settled_id, 0), ids_until = least(next_id, greatest_id + 1000000000)
            WHERE epoch = created;
            PERFORM setval('staging.user_ids', next_id, false);
        END IF;
    END IF;
    RETURN (SELECT e.epoch FROM staging.epochs AS e WHERE e.system_identifier = cluster AND e.timeline = line);
END
$$;
