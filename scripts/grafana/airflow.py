"""The dashboard of Airflow, from the metrics that its processes send by OTLP, as Prometheus 3 names and stores them."""

from scripts.grafana.panel import Panel, Rows, per_second

JOB = 'job="$job-airflow"'


def of(metric: str) -> str:
    """The series of a metric of the release."""
    return f"airflow_{metric}{{{JOB}}}"


def percentile_panel(title: str, histogram: str, label: str) -> Panel:
    """The 95th percentile of a native histogram in milliseconds over an hour, in seconds, for each value of a label."""
    query = f"histogram_quantile(0.95, sum by ({label}) (rate({of(histogram)}[1h]))) / 1000"
    return Panel(f"{title}, 95th percentile", {f"{{{{{label}}}}}": query}, "s")


def per_hour(histogram: str) -> str:
    """The observations of a native histogram within the last hour, by DAG."""
    return f"sum by (dag_id) (histogram_count(increase({of(histogram)}[1h])))"


AIRFLOW: Rows = {
    "Is everything well": (
        Panel("DAG files with errors", {"": f"max({of('dag_processing_import_errors')})"}, newest=True),
        Panel("Schedulers at work", {"": f"count(rate({of('scheduler_heartbeat_total')}[5m]) > 0)"}, newest=True),
        Panel("Tasks without a slot", {"": f"max({of('scheduler_tasks_starving')})"}, newest=True),
        Panel("Triggers", {"": f"sum({of('triggers_running')})"}, newest=True),
    ),
    "Runs": (
        Panel("Runs that succeeded per hour", {"{{dag_id}}": per_hour("dagrun_duration_success_milliseconds")}),
        Panel("Runs that failed per hour", {"{{dag_id}}": per_hour("dagrun_duration_failed_milliseconds")}),
        percentile_panel("Duration of a run", "dagrun_duration_success_milliseconds", "dag_id"),
        percentile_panel("Delay of a run's start", "dagrun_schedule_delay_milliseconds", "dag_id"),
    ),
    "Tasks": (
        Panel("Running", {"{{instance}}": of("executor_running_tasks")}),
        Panel("Queued", {"{{instance}}": of("executor_queued_tasks")}),
        percentile_panel("Wait for a slot", "task_scheduled_duration_milliseconds", "dag_id"),
        Panel(
            "Pods created per minute",
            {"{{status}}": "60 * " + per_second(of("kubernetes_executor_pod_creation_status_total"), "status")},
        ),
    ),
    "Processes": (
        percentile_panel(
            "Duration of the scheduler's loop", "scheduler_scheduler_loop_duration_milliseconds", "instance"
        ),
        percentile_panel("Time to read a DAG file", "dag_processing_last_duration_milliseconds", "file_name"),
    ),
}
