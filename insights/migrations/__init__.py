"""Bring the stores to the schema and the privileges of this version: SQL files, CQL files, topics, grants."""

from pathlib import Path

MIGRATIONS = Path(__file__).parent
"""The folders `postgres` and `cassandra` hold a file per migration."""
