"""The sinks of a micro-batch, in write order: PostgreSQL, whose merge is authoritative, Cassandra, quarantine topic."""
