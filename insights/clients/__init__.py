"""Clients of PostgreSQL, Kafka, Cassandra, Airflow and Kubernetes that all stages share."""
