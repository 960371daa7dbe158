"""Migrate the stores to the schema and the privileges of this version: SQL files, CQL files, topics, grants."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent
"""The directory of `postgres` and `cassandra`, which hold one file per migration."""
