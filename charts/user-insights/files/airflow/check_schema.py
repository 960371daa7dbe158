"""Fail if the metadata database has a schema that this Airflow does not know, because a newer Airflow migrated it.

Run before an upgrade or a rollback replaces anything: the older Airflow could not start. A database that does not
exist, does not answer or has no schema yet is no reason to fail.
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

import psycopg2

FOLDERS = {"alembic_version": "migrations", "alembic_version_fab": "providers/fab/migrations"}


def list_known(folder):
    [home] = importlib.util.find_spec("airflow").submodule_search_locations
    files = Path(home, folder, "versions").glob("*.py")
    return {name for file in files for name in re.findall(r'^revision = "(\w+)"', file.read_text(), re.MULTILINE)}


def read_present(connection, table):
    with connection.cursor() as cursor:
        try:
            cursor.execute(f"SELECT version_num FROM {table}")
        except psycopg2.errors.UndefinedTable:
            return set()
        return {name for (name,) in cursor.fetchall()}


def main():
    uri = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "")
    try:
        connection = psycopg2.connect(f"postgresql://{uri.partition('://')[2]}", connect_timeout=10) if uri else None
    except psycopg2.OperationalError as error:
        print(f"The metadata database does not answer, so its schema is not checked: {error}")
        return
    if connection is None:
        return
    connection.autocommit = True
    for table, folder in FOLDERS.items():
        if unknown := read_present(connection, table) - list_known(folder):
            sys.exit(
                f"Airflow's database has the schema {', '.join(sorted(unknown))} of a newer Airflow than that of this"
                " release. Nothing was changed. Downgrade the schema first: docs/kubernetes.md, Rolling back Airflow."
            )


main()
