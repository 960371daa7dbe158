"""Migrate PostgreSQL and Cassandra to this version's schema and privileges; with `--topics`, create Kafka's topics too.

With `--wait`, change nothing and exit once the stores have the schema of this version or a newer one, and Kafka its
topics.
"""

import argparse
import logging
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial

from insights import entrypoint
from insights.clients.retry import retry_until_ready
from insights.migrations.grant_cassandra import grant_cassandra
from insights.migrations.grant_postgres import grant_postgres
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.migrations.wait import require_cassandra, require_kafka, require_postgres, retry_login_refusal
from insights.settings import AccessSettings, CassandraSettings, KafkaSettings, PostgresSettings, load

STORES = ("postgres", "cassandra")
NAMES = {"postgres": "PostgreSQL", "cassandra": "Cassandra", "kafka": "Kafka"}
QUIET = {"yoyo": logging.WARNING, "cassandra": logging.CRITICAL}
Steps = list[tuple[str, Callable[[], object]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", action="store_true", help="create Kafka's topics, where no operator owns them")
    parser.add_argument(
        "--store",
        choices=tuple(NAMES),
        action="append",
        help="only this store; may be repeated; kafka with --wait only",
    )
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="only wait until the stores are ready for use")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="how long to wait for servers that do not answer"
    )
    parser.add_argument(
        "--new-logins",
        choices=STORES,
        action="append",
        default=[],
        help="retry a refused login to this store too, because an operator may still be creating it; may be repeated",
    )
    options = parser.parse_args()
    if options.wait is None and "kafka" in (options.store or ()):
        parser.error("--store kafka needs --wait; to create the topics, give --topics")
    return entrypoint.run(partial(_run_steps, options), quiet=QUIET)


def _run_steps(options: Namespace) -> None:
    stores = options.store or list(STORES)
    deadline = time.monotonic() + (options.patience if options.wait is None else options.wait)
    steps = _plan_migration(stores, options.topics) if options.wait is None else _plan_wait(stores)
    for store, step in steps:
        if store in options.new_logins:
            step = partial(retry_login_refusal, step)
        retry_until_ready(NAMES[store], step, deadline)


def _plan_wait(stores: list[str]) -> Steps:
    steps: Steps = []
    if "postgres" in stores:
        steps.append(("postgres", partial(require_postgres, load(PostgresSettings))))
    if "cassandra" in stores:
        steps.append(("cassandra", partial(require_cassandra, load(CassandraSettings))))
    if "kafka" in stores:
        steps.append(("kafka", partial(require_kafka, load(KafkaSettings))))
    return steps


def _plan_migration(stores: list[str], topics: bool) -> Steps:
    access = load(AccessSettings)
    steps: Steps = []
    if "postgres" in stores:
        postgres = load(PostgresSettings)
        steps.append(("postgres", partial(migrate_postgres, postgres)))
        if access.postgres:
            steps.append(("postgres", partial(grant_postgres, postgres, access.postgres)))
    if "cassandra" in stores:
        cassandra = load(CassandraSettings)
        steps.append(("cassandra", partial(migrate_cassandra, cassandra)))
        if access.cassandra:
            steps.append(("cassandra", partial(grant_cassandra, cassandra, access.cassandra, access.passwords)))
    if topics:
        steps.append(("kafka", partial(ensure_topics, load(KafkaSettings))))
    return steps


if __name__ == "__main__":
    entrypoint.exit_on_sigterm()
    sys.exit(main())
