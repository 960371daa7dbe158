"""Staged rows to the raw topic: at least once, none lost, in commit order, by one publisher at a time."""
