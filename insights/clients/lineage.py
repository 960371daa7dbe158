"""What a task of Airflow writes, for OpenLineage."""

from psycopg2.extensions import connection as PgConnection


def report_output(connection: PgConnection, schema: str, table: str) -> None:
    """Name a table that the running task writes, to the OpenLineage provider of Airflow if that has a server."""
    from airflow.sdk.lineage import get_hook_lineage_collector

    info = connection.info
    address = {"host": info.host, "port": info.port, "database": info.dbname, "schema": schema, "table": table}
    get_hook_lineage_collector().add_output_asset(connection, "postgres", asset_kwargs=address)
