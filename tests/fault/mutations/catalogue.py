"""The protections of the platform, each with the change that switches it off and the test that must then fail."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """A textual replacement in one file, at the only place where `old` occurs; `test` is an id of pytest."""

    name: str
    protects: str
    path: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "snapshot-gate",
        "a row committed late, behind the cursor, is published",
        "insights/publisher/staged_rows.py",
        "    AND (epoch, xact_id) < (%(current)s, pg_snapshot_xmin(pg_current_snapshot()))\n",
        "",
        "tests/integration/test_publisher.py::test_transactions_that_commit_out_of_order_lose_nothing",
    ),
    Mutation(
        "acknowledgement",
        "the cursor passes only rows that the broker has",
        "insights/publisher/loop.py",
        "batch.rejected + producer.await_acknowledgements(batch, self._record_heartbeat)",
        "list(batch.rejected)",
        "tests/integration/test_publisher_faults.py::test_nothing_is_lost_while_the_broker_is_down",
    ),
    Mutation(
        "leader-lock",
        "one publisher leads at a time",
        "insights/publisher/leader.py",
        "SELECT pg_try_advisory_lock(hashtextextended('staging.publisher/' || %s, 0))",
        "SELECT %s IS NOT NULL",
        "tests/integration/test_publisher_faults.py::test_of_two_publishers_one_leads_and_the_other_takes_over",
    ),
    Mutation(
        "leader-fence",
        "a leader that lost its lock unnoticed cannot move the cursor",
        "insights/publisher/leader.py",
        "WHERE name = %s AND fence = %s",
        "WHERE name = %s AND fence >= %s",
        "tests/integration/test_publisher_faults.py::test_a_leader_that_lost_its_lock_unnoticed_is_fenced",
    ),
    Mutation(
        "staged-keys",
        "a user on two pages is staged once",
        "insights/staging/load.py",
        "ON CONFLICT (user_key) DO NOTHING RETURNING",
        "ON CONFLICT (user_key) DO UPDATE SET batch_id = excluded.batch_id RETURNING",
        "tests/integration/test_staging.py::test_duplicates_are_counted_within_a_page_and_across_pages",
    ),
    Mutation(
        "page-ledger",
        "a page whose task is repeated is loaded once",
        "insights/staging/load.py",
        "loaded = _find_loaded_page(cursor, batch_id)",
        "loaded = None",
        "tests/integration/test_staging.py::test_a_task_retried_after_commit_changes_nothing",
    ),
    Mutation(
        "page-transaction",
        "a page is staged as a whole or not at all",
        "insights/staging/load.py",
        '            failpoints.reach("stage.rows_copied")\n',
        '            connection.commit()\n            failpoints.reach("stage.rows_copied")\n',
        "tests/integration/test_staging.py::test_a_task_killed_before_commit_leaves_nothing_and_its_retry_loads_the_page",
    ),
    Mutation(
        "page-lock",
        "two tasks that load one page at a time do not both load it",
        "insights/staging/load.py",
        "SELECT pg_advisory_xact_lock(hashtextextended('staging.batches/' || %s, 0))",
        "SELECT %s",
        "tests/integration/test_staging.py::test_a_page_loaded_concurrently_is_loaded_once",
    ),
    Mutation(
        "version-guard",
        "an older version of a user does not replace a newer one",
        "insights/sinks/merge_statements.py",
        "(SELECT u.user_id IS NULL OR i.version > u.version AS wins)",
        "(SELECT true AS wins)",
        "tests/integration/test_postgres_sink.py",
    ),
    Mutation(
        "upsert-guard",
        "an upsert that did not see a newer row does not replace it",
        "insights/sinks/merge_statements.py",
        "    WHERE excluded.version > analytics.users.version\n",
        "",
        "tests/integration/test_merge_guard.py::test_a_merge_that_did_not_see_a_newer_row_does_not_replace_it",
    ),
    Mutation(
        "delivered-last",
        "a batch counts as delivered only when every sink has it",
        "insights/sinks/micro_batch.py",
        '            timer.finish("postgres")\n',
        "            self._stores.with_postgres(lambda connection: postgres.mark_delivered(connection, batch_id))\n",
        "tests/integration/test_stream.py::test_after_crashes_poison_and_replays_every_record_is_delivered_once",
    ),
    Mutation(
        "batch-row",
        "a repeated batch is recognised and merged once",
        "insights/sinks/postgres.py",
        "return (row[1], row[2], row[3]) if row is not None and row[0] == batch.offsets else None",
        "return None",
        "tests/integration/test_merge_guard.py"
        "::test_a_repeated_batch_changes_nothing_even_if_the_rules_now_reject_a_record",
    ),
    Mutation(
        "delivered-again",
        "a replay writes to Cassandra also what PostgreSQL has already",
        "insights/sinks/merge_statements.py",
        "    WHERE u.user_id = merged.user_id AND u.version = merged.version AND u.seq <> %(seq)s\n",
        "    WHERE false\n",
        "tests/integration/test_postgres_sink.py::test_a_row_that_is_not_stored_is_never_written_to_cassandra",
    ),
    Mutation(
        "merge-lock",
        "a merge and a recount do not overlap",
        "insights/clients/merge_order.py",
        "SELECT pg_advisory_xact_lock(hashtextextended('insights.merge', 0))",
        "SELECT 1",
        "tests/integration/test_recount.py::test_a_recount_waits_for_a_running_merge",
    ),
    Mutation(
        "quarantine-origin",
        "a rejected message is in quarantine once",
        "insights/clients/quarantine_table.py",
        " ON CONFLICT (origin) DO {_REPLACE if replace else 'NOTHING'}",
        "",
        "tests/integration/test_postgres_sink.py",
    ),
    Mutation(
        "undelivered-counts",
        "counts that Cassandra lacks are written with the next batch",
        "insights/sinks/postgres.py",
        "SELECT dimension, value, count, seq FROM analytics.user_counts\n"
        "        WHERE seq IN (SELECT seq FROM analytics.batches WHERE served_at IS NULL)",
        "SELECT dimension, value, count, seq FROM analytics.user_counts\n"
        "        WHERE seq = (SELECT max(seq) FROM analytics.batches WHERE served_at IS NULL)",
        "tests/integration/test_postgres_sink.py::"
        "test_counts_missing_in_cassandra_are_undelivered_until_a_batch_is_delivered",
    ),
    Mutation(
        "cassandra-timestamp",
        "a late write of an older version changes nothing in Cassandra",
        "insights/sinks/cassandra.py",
        'VALUES ({markers}) USING TIMESTAMP ?", [*names, timestamp]',
        'VALUES ({markers})", [*names]',
        "tests/integration/test_cassandra_sink.py::test_an_older_version_written_later_changes_nothing",
    ),
    Mutation(
        "moved-rows",
        "a user who moved has no row under the old key",
        "insights/sinks/user_tables.py",
        "    if not moves.num_rows:\n        return\n",
        "    if moves is not None:\n        return\n",
        "tests/integration/test_cassandra_sink.py::test_a_user_who_moved_is_under_the_new_key_only",
    ),
    Mutation(
        "partition-order",
        "of two messages without a version, the later one of the partition wins",
        "insights/sinks/version_order.py",
        "    cursor.execute(_ORDER_BY_OFFSET)\n",
        "    cursor.execute('SELECT 1')\n",
        "tests/integration/test_version_order.py::test_the_later_of_two_updates_in_one_millisecond_wins",
    ),
    Mutation(
        "bisecting",
        "a record that a store refuses does not stop the others",
        "insights/sinks/store_errors.py",
        '_DATA_CLASSES = frozenset({"22", "23", "44", "54", "P0"})',
        "_DATA_CLASSES = frozenset()",
        "tests/integration/test_refused_rows.py"
        "::test_what_postgresql_refuses_is_quarantined_with_its_words_and_the_rest_delivered",
    ),
    Mutation(
        "withdrawal",
        "what Cassandra refuses is taken out of PostgreSQL, and the user's earlier row is stored again",
        "insights/sinks/withdrawal.py",
        "        _merge_what_fits(cursor, candidates, seq)\n",
        "",
        "tests/integration/test_refused_rows.py::test_what_cassandra_refuses_is_taken_out_of_postgresql_again",
    ),
    Mutation(
        "refused-once",
        "a message that a store refused is not tried again",
        "insights/sinks/refused_rows.py",
        "    cursor.execute(_SKIP)\n",
        "    cursor.execute('SELECT WHERE false')\n",
        "tests/integration/test_refused_rows.py::test_what_cassandra_refuses_is_taken_out_of_postgresql_again",
    ),
    Mutation(
        "commit-log",
        "Cassandra on one machine has a row on disk before it acknowledges it",
        "insights/local/cassandra.py",
        '"commitlog_sync": "batch",',
        '"commitlog_sync": "periodic", "commitlog_sync_period": "10s",',
        "tests/integration/test_local_servers.py"
        "::test_cassandra_keeps_acknowledged_rows_when_it_is_killed_and_leaves_no_process",
    ),
    Mutation(
        "unpublished-days",
        "retention keeps days that are not published",
        "insights/staging/retention.py",
        "            if _has_unpublished(cursor, day, publisher):\n",
        "            if not publisher and _has_unpublished(cursor, day, publisher):\n",
        "tests/integration/test_staging.py::test_retention_keeps_unpublished_partitions",
    ),
    Mutation(
        "undelivered-batches",
        "retention keeps batches that Cassandra lacks",
        "insights/repair/retention.py",
        "merged_at < %(before)s AND served_at IS NOT NULL",
        "merged_at < %(before)s",
        "tests/integration/test_retention.py::test_an_undelivered_batch_keeps_its_row_and_its_moves",
    ),
    Mutation(
        "redaction",
        "a rejected record leaves no credential, whoever produced it",
        "insights/model/quarantine.py",
        "redact(bytes(self.payload))",
        "bytes(self.payload)",
        "tests/unit/model/test_redaction.py::test_a_quarantine_record_holds_no_secret",
    ),
    Mutation(
        "credentials-at-the-source",
        "a credential ends at the source client, however its key is spelled",
        "insights/source/envelope.py",
        "if not is_secret(name):",
        'if name != "password":',
        "tests/unit/source/test_envelope.py::test_no_hidden_secret_leaves_the_client",
    ),
    Mutation(
        "repeated-keys",
        "a record that repeats a key is rejected also if it comes from the source",
        "insights/source/envelope.py",
        "            object_pairs_hook=make_object,\n",
        "",
        "tests/unit/source/test_envelope.py::test_a_repeated_key_remains_repeated_and_the_other_records_of_the_page_are_returned",
    ),
    Mutation(
        "id-spelling",
        "every spelling of a UUID is the same user",
        "insights/source/envelope.py",
        "normalise_uuid(text) or text",
        "text",
        "tests/unit/source/test_envelope.py::test_a_uuid_gets_its_canonical_spelling",
    ),
    Mutation(
        "secrets-in-odd-places",
        "a credential ends at the source client also where the API has none",
        "insights/source/envelope.py",
        " or may_hold_secret(text):",
        ":",
        "tests/unit/source/test_envelope.py::test_the_spelling_of_a_page_does_not_change_a_secret_in_an_odd_place",
    ),
    Mutation(
        "canonical-spelling",
        "a page is parsed fast only if that loses nothing",
        "insights/model/canonical_json.py",
        "    if spelled != text:\n",
        "    if not spelled:\n",
        "tests/unit/source/test_envelope.py::test_a_value_keeps_its_own_text",
    ),
    Mutation(
        "dead-workers",
        "runs go on after a worker of Airflow was killed on one machine",
        "insights/local/supervision.py",
        "self.component.find_fault() if running",
        '"" if running',
        "tests/unit/local/test_runner.py::test_a_component_that_runs_with_a_fault_is_restarted",
    ),
)
