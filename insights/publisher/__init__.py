"""Publish staged rows to the raw topic: at least once, in commit order, by one publisher at a time."""
