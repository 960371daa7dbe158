"""The dashboard of the flow, from the metrics of the platform's own components."""

from scripts.grafana.panel import Panel, Rows, per_second


def of(metric: str, more: str = "") -> str:
    """The series of a metric of the release, restricted by `more` labels."""
    return f'insights_{metric}{{job="$job"{more}}}'


def quantile(share: float, histogram: str, *by: str) -> str:
    """A quantile of a histogram of the release over 5 minutes, for each value of the labels `by`."""
    return f"histogram_quantile({share}, sum by ({', '.join([*by, 'le'])}) (rate({of(f'{histogram}_bucket')}[5m])))"


FLOW: Rows = {
    "Is everything well": (
        Panel("Ledger broken", {"": of("flow_ledger_state", ', state="broken"')}, "bool_yes_no", newest=True),
        Panel("Last check", {"": f"time() - {of('flow_checked_timestamp_seconds')}"}, "s", newest=True),
        Panel(
            "Age of the newest record", {"": f"time() - {of('flow_newest_record_timestamp_seconds')}"}, "s", newest=True
        ),
        Panel("Served users", {"": of("flow_records", ', hop="served"')}, newest=True),
    ),
    "Flow": (
        Panel("Records per second by hop", {"{{hop}}": f"rate({of('flow_records')}[5m])"}, "ops"),
        Panel(
            "In flight",
            {
                "rows for the publisher": of("flow_unpublished_rows"),
                "messages for the stream": of("flow_unread_messages"),
                "batches for Cassandra": of("flow_undelivered_batches"),
            },
        ),
        Panel("Time from fetch to delivery", {"p{{percentile}}": of("flow_latency_seconds")}, "s"),
        Panel(
            "Rejected within 10 minutes",
            {"{{reason}}": f"{of('flow_rejected_records')} > 0 or {of('flow_rejected_records')} * 0"},
        ),
        Panel("Open in quarantine", {"{{reason}}": of("flow_quarantined_records")}),
        Panel("Duration of the check", {"": of("flow_check_seconds")}, "s"),
    ),
    "Publisher": (
        Panel("Rows per second", {"{{pod}}": f"rate({of('publisher_published_total')}[5m])"}, "ops"),
        Panel("Leader", {"{{pod}}": of("publisher_leader")}),
        Panel("Wait for older transactions", {"{{pod}}": of("publisher_gate_wait_seconds")}, "s"),
        Panel("Lost connections per hour", {"{{pod}}": f"increase({of('publisher_reconnects_total')}[1h])"}),
    ),
    "Stream": (
        Panel(
            "Messages per second",
            {"arrive": of("stream_input_rows_per_second"), "are processed": of("stream_processed_rows_per_second")},
            "ops",
        ),
        Panel("Records per second by verdict", {"{{verdict}}": f"rate({of('stream_records_total')}[5m])"}, "ops"),
        Panel("Duration of a micro-batch", {"": of("stream_batch_seconds")}, "s"),
        Panel("Duration of its stages", {"{{stage}}": of("stream_stage_seconds")}, "s"),
        Panel("Lag by partition", {"{{topic}}/{{partition}}": of("stream_kafka_lag")}),
        Panel(
            "Time from fetch to delivery, and traces",
            {f"p{percent}": quantile(percent / 100, "stream_latency_seconds") for percent in (50, 95, 99)},
            "s",
            exemplars=True,
        ),
        Panel(
            "Tasks per second by executor",
            {
                "{{executor_id}} completed": f"rate({of('stream_executor_completed_tasks_total')}[5m])",
                "{{executor_id}} failed": f"rate({of('stream_executor_failed_tasks_total')}[5m])",
            },
            "ops",
        ),
        Panel("Running tasks by executor", {"{{executor_id}}": of("stream_executor_active_tasks")}),
        Panel(
            "Share of task time in garbage collection",
            {
                "{{executor_id}}": f"rate({of('stream_executor_gc_seconds_total')}[5m])"
                f" / rate({of('stream_executor_task_seconds_total')}[5m])"
            },
            "percentunit",
        ),
        Panel(
            "Shuffled bytes per second by executor",
            {
                "{{executor_id}} read": f"rate({of('stream_executor_shuffle_read_bytes_total')}[5m])",
                "{{executor_id}} written": f"rate({of('stream_executor_shuffle_written_bytes_total')}[5m])",
            },
            "Bps",
        ),
        Panel(
            "Peak memory of the JVM by executor",
            {"{{executor_id}} {{memory}}": of("stream_executor_peak_memory_bytes")},
            "bytes",
        ),
    ),
    "Dashboard": (
        Panel("Open pages", {"{{pod}}": of("dashboard_sessions")}),
        Panel(
            "Renders per second",
            {"{{page}}": per_second(of("dashboard_render_seconds_count"), "page")},
            "ops",
        ),
        Panel(
            "Time of a render, 95th percentile",
            {"{{page}}": quantile(0.95, "dashboard_render_seconds", "page")},
            "s",
        ),
        Panel("Uncaught errors per hour", {"{{pod}}": f"increase({of('dashboard_errors_total')}[1h])"}),
        Panel(
            "Queries per second",
            {"{{store}}, {{outcome}}": per_second(of("dashboard_queries_total"), "store", "outcome")},
            "ops",
        ),
        Panel(
            "Answers from the cache per second",
            {"{{store}}": per_second(of("dashboard_cached_answers_total"), "store")},
            "ops",
        ),
    ),
}
