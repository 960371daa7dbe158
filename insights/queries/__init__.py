"""What the dashboard reads: users from Cassandra, the pipeline's progress from PostgreSQL."""
