"""Where a micro-batch lands: PostgreSQL, where all is decided, then Cassandra, then the quarantine topic."""
