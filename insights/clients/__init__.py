"""Connections to PostgreSQL, Kafka, Cassandra, Airflow and Kubernetes, opened the same way by every stage."""
