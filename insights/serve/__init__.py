"""Serving: accepted records to PostgreSQL and Cassandra, refused ones to quarantine, and what the dashboard reads."""
