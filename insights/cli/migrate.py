"""`insights migrate`: migrate the stores to this version's schema."""

from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres


@app.command()
def migrate(topics: Annotated[bool, typer.Option(help="Create Kafka's topics too.")] = True) -> None:
    """Create or update the tables of PostgreSQL and Cassandra, and Kafka's topics."""
    stores = load_stores()
    applied = [*migrate_postgres(stores.postgres), *migrate_cassandra(stores.cassandra)]
    if topics:
        applied += ensure_topics(stores.kafka)
    console.print("Applied: " + ", ".join(applied) if applied else "Everything is up to date.")
