"""Bring PostgreSQL and Cassandra to this version's schema; with `--topics`, create the Kafka topics too."""

import argparse
import logging
import sys

from insights.errors import UserError
from insights.migrate import ensure_topics, migrate_cassandra, migrate_postgres
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, load


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topics", action="store_true", help="create Kafka's topics, where no operator owns them")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    logging.getLogger("cassandra").setLevel(logging.ERROR)
    try:
        migrate_postgres(load(PostgresSettings))
        migrate_cassandra(load(CassandraSettings))
        if options.topics:
            ensure_topics(load(KafkaSettings))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
