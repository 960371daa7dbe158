"""The dashboard of the stores, from the metrics that CloudNativePG, Strimzi and K8ssandra provide."""

from scripts.grafana.panel import Panel, Rows, per_second

POSTGRES, KAFKA, CASSANDRA = (f'job="$job-{store}"' for store in ("postgres", "kafka", "cassandra"))


TOPICS = f'{KAFKA}, topic!=""'
"""Kafka also counts all topics together, in series without that label."""

STORES: Rows = {
    "PostgreSQL": (
        Panel("Instances that answer", {"": f"sum(cnpg_collector_up{{{POSTGRES}}})"}, newest=True),
        Panel(
            "Synchronous replicas missing",
            {
                "": f'max(cnpg_collector_sync_replicas{{{POSTGRES}, value="expected"}})'
                f' - max(cnpg_collector_sync_replicas{{{POSTGRES}, value="observed"}})'
            },
            newest=True,
        ),
        Panel(
            "Age of the newest backup",
            {"": f"time() - max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp{{{POSTGRES}}} > 0)"},
            "s",
            newest=True,
        ),
        Panel(
            "Age of the newest archived segment",
            {"": f"min(cnpg_pg_stat_archiver_seconds_since_last_archival{{{POSTGRES}}} >= 0)"},
            "s",
            newest=True,
        ),
        Panel(
            "Transactions per second",
            {
                "{{datname}} committed": per_second(f"cnpg_pg_stat_database_xact_commit{{{POSTGRES}}}", "datname"),
                "{{datname}} rolled back": per_second(f"cnpg_pg_stat_database_xact_rollback{{{POSTGRES}}}", "datname"),
            },
            "ops",
        ),
        Panel("Connections", {"{{pod}}": f"sum by (pod) (cnpg_backends_total{{{POSTGRES}}})"}),
        Panel("Replication lag", {"{{pod}}": f"cnpg_pg_replication_lag{{{POSTGRES}}}"}, "s"),
        Panel(
            "Size of the databases",
            {"{{datname}}": f"max by (datname) (cnpg_pg_database_size_bytes{{{POSTGRES}}})"},
            "bytes",
        ),
        Panel("Write-ahead log", {"{{pod}}": f'cnpg_collector_pg_wal{{{POSTGRES}, value="size"}}'}, "bytes"),
        Panel(
            "Segments that are ready for the archive",
            {"{{pod}}": f'cnpg_collector_pg_wal_archive_status{{{POSTGRES}, value="ready"}}'},
        ),
    ),
    "Kafka": (
        Panel("Brokers", {"": f"count(kafka_server_replicamanager_leadercount{{{KAFKA}}})"}, newest=True),
        Panel(
            "Active controllers",
            {"": f"sum(kafka_controller_kafkacontroller_activecontrollercount{{{KAFKA}}})"},
            newest=True,
        ),
        Panel(
            "Under-replicated partitions",
            {"": f"sum(kafka_server_replicamanager_underreplicatedpartitions{{{KAFKA}}})"},
            newest=True,
        ),
        Panel(
            "Offline partitions",
            {"": f"max(kafka_controller_kafkacontroller_offlinepartitionscount{{{KAFKA}}})"},
            newest=True,
        ),
        Panel(
            "Messages per second by topic",
            {"{{topic}}": per_second(f"kafka_server_brokertopicmetrics_messagesinpersec_total{{{TOPICS}}}", "topic")},
            "ops",
        ),
        Panel(
            "Bytes per second",
            {
                "in": per_second(f"kafka_server_brokertopicmetrics_bytesinpersec_total{{{TOPICS}}}", "job"),
                "out": per_second(f"kafka_server_brokertopicmetrics_bytesoutpersec_total{{{TOPICS}}}", "job"),
            },
            "Bps",
        ),
        Panel("Size of the topics", {"{{topic}}": f"sum by (topic) (kafka_log_log_size{{{KAFKA}}})"}, "bytes"),
    ),
    "Cassandra": (
        Panel(
            "Nodes that answer clients",
            {"": f"count(org_apache_cassandra_metrics_client_connected_native_clients{{{CASSANDRA}}})"},
            newest=True,
        ),
        Panel(
            "Hints to other nodes",
            {"": f"sum(org_apache_cassandra_metrics_storage_total_hints_in_progress{{{CASSANDRA}}})"},
            newest=True,
        ),
        Panel(
            "Requests per second",
            {
                "{{request_type}}": per_second(
                    f"org_apache_cassandra_metrics_client_request_latency_count{{{CASSANDRA}}}", "request_type"
                )
            },
            "ops",
        ),
        Panel(
            "Requests that failed per second",
            {
                f"{{{{request_type}}}} {failure}": per_second(
                    f"org_apache_cassandra_metrics_client_request_{failure}_total{{{CASSANDRA}}}", "request_type"
                )
                for failure in ("timeouts", "unavailables", "failures")
            },
            "ops",
        ),
        Panel(
            "Pending compactions",
            {"{{pod}}": f"org_apache_cassandra_metrics_compaction_pending_tasks{{{CASSANDRA}}}"},
        ),
        Panel(
            "Size of the tables",
            {
                "{{keyspace}}.{{table}}": "sum by (keyspace, table) ("
                f"org_apache_cassandra_metrics_table_live_disk_space_used{{{CASSANDRA}}})"
            },
            "bytes",
        ),
        Panel(
            "Dropped messages per second",
            {
                "{{message_type}}": per_second(
                    f"org_apache_cassandra_metrics_dropped_message_dropped_total{{{CASSANDRA}}}", "message_type"
                )
            },
            "ops",
        ),
    ),
}
