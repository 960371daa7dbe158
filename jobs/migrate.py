"""Bring PostgreSQL and Cassandra to this version's schema and privileges; with `--topics`, create Kafka's topics too.

With `--wait`, change nothing and end when both stores are at this version or a newer one.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from insights.errors import UserError
from insights.migrations.grant_cassandra import grant_cassandra
from insights.migrations.grant_postgres import grant_postgres
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres
from insights.migrations.wait import require_cassandra, require_postgres, retry_login_refusal, retry_until_ready
from insights.settings import AccessSettings, CassandraSettings, KafkaSettings, PostgresSettings, load

STORES = ("postgres", "cassandra")
NAMES = {"postgres": "PostgreSQL", "cassandra": "Cassandra", "kafka": "Kafka"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", action="store_true", help="create Kafka's topics, where no operator owns them")
    parser.add_argument("--store", choices=STORES, action="append", help="only this one; may be repeated")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="only wait until others have migrated the stores")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS", help="how long to wait for servers that do not answer"
    )
    parser.add_argument(
        "--new-logins",
        choices=STORES,
        action="append",
        default=[],
        help="an operator may still be making this store's logins: be patient with a refusal too; may be repeated",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    logging.getLogger("cassandra").setLevel(logging.CRITICAL)
    stores = options.store or list(STORES)
    deadline = time.monotonic() + (options.patience if options.wait is None else options.wait)
    try:
        steps = _migration(stores, options.topics) if options.wait is None else _waiting(stores)
        for store, step in steps:
            if store in options.new_logins:
                step = partial(retry_login_refusal, step)
            retry_until_ready(NAMES[store], step, deadline)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


Steps = list[tuple[str, Callable[[], object]]]


def _waiting(stores: list[str]) -> Steps:
    steps: Steps = []
    if "postgres" in stores:
        steps.append(("postgres", partial(require_postgres, load(PostgresSettings))))
    if "cassandra" in stores:
        steps.append(("cassandra", partial(require_cassandra, load(CassandraSettings))))
    return steps


def _migration(stores: list[str], topics: bool) -> Steps:
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
    # The first process of a container ends by a signal only if it asks for it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
