"""A task of the ingest, with the source, the database and the spans of the environment."""

from collections.abc import Mapping
from contextlib import closing

from insights.clients import connections
from insights.clients.lineage import report_output
from insights.clients.tracing import open_spans
from insights.ingest.pages import PageIngest, RunOfPages
from insights.settings import PostgresSettings, SourceSettings, load
from insights.source import SourceClient


def stage_pages(asked: RunOfPages, filters: Mapping[str, str]) -> dict[str, int]:
    """Stage the pages that were asked for. Returns the counts of records.

    `filters` take the place of settings of the source.

    Raises:
        Exception: the errors of `PageIngest.run`.
        UserError: a setting is invalid, or PostgreSQL does not answer.
    """
    with (
        SourceClient(load(SourceSettings).model_copy(update=filters)) as client,
        open_spans("insights-ingest") as spans,
        closing(connections.connect_postgres(load(PostgresSettings), "ingest_users")) as connection,
    ):
        report_output(connection, "staging", "users")
        return PageIngest(client, connection, asked, spans).run()
