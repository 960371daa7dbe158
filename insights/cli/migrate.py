"""`insights migrate`: bring the stores to this version."""

from typing import Annotated

import typer

from insights.cli.app import app, console, load_stores
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_cassandra import migrate_cassandra
from insights.migrations.migrate_postgres import migrate_postgres


@app.command()
def migrate(topics: Annotated[bool, typer.Option(help="Create the Kafka topics too.")] = True) -> None:
    """Create or update the tables of PostgreSQL and Cassandra, and the topics."""
    found = load_stores()
    done = [*migrate_postgres(found.postgres), *migrate_cassandra(found.cassandra)]
    if topics:
        done += ensure_topics(found.kafka)
    console.print("Applied: " + ", ".join(done) if done else "Everything is up to date.")
