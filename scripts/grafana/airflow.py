"""The dashboard of Airflow, from the metrics that its processes send by OTLP, as Prometheus 3 names and stores them."""

from scripts.grafana.panel import Panel, Rows

JOB = 'job="$job-airflow"'


def of(metric: str) -> str:
    """The series of a metric of the release."""
    return f"airflow_{metric}{{{JOB}}}"


def quantile(share: float, histogram: str, *by: str) -> str:
    """A quantile, in seconds, of a native histogram in milliseconds over an hour."""
    return f"histogram_quantile({share}, sum by ({', '.join(by)}) (rate({of(histogram)}[1h]))) / 1000"


def count(histogram: str, window: str) -> str:
    """How often a native histogram was observed within a window, by DAG."""
    return f"sum by (dag_id) (histogram_count(increase({of(histogram)}[{window}])))"


AIRFLOW: Rows = {
    "Is everything well": (
        Panel("DAG files with errors", {"": f"max({of('dag_processing_import_errors')})"}, newest=True),
        Panel("Schedulers at work", {"": f"count(rate({of('scheduler_heartbeat_total')}[5m]) > 0)"}, newest=True),
        Panel("Tasks without a slot", {"": f"max({of('scheduler_tasks_starving')})"}, newest=True),
        Panel("Triggers", {"": f"sum({of('triggers_running')})"}, newest=True),
    ),
    "Runs": (
        Panel("Runs that succeeded per hour", {"{{dag_id}}": count("dagrun_duration_success_milliseconds", "1h")}),
        Panel("Runs that failed per hour", {"{{dag_id}}": count("dagrun_duration_failed_milliseconds", "1h")}),
        Panel(
            "Duration of a run, 95th percentile",
            {"{{dag_id}}": quantile(0.95, "dagrun_duration_success_milliseconds", "dag_id")},
            "s",
        ),
        Panel(
            "Delay of a run's start, 95th percentile",
            {"{{dag_id}}": quantile(0.95, "dagrun_schedule_delay_milliseconds", "dag_id")},
            "s",
        ),
    ),
    "Tasks": (
        Panel("Running", {"{{instance}}": of("executor_running_tasks")}),
        Panel("Queued", {"{{instance}}": of("executor_queued_tasks")}),
        Panel(
            "Wait for a slot, 95th percentile",
            {"{{dag_id}}": quantile(0.95, "task_scheduled_duration_milliseconds", "dag_id")},
            "s",
        ),
        Panel(
            "Pods created per minute",
            {"{{status}}": f"60 * sum by (status) (rate({of('kubernetes_executor_pod_creation_status_total')}[5m]))"},
        ),
    ),
    "Processes": (
        Panel(
            "Duration of the scheduler's loop, 95th percentile",
            {"{{instance}}": quantile(0.95, "scheduler_scheduler_loop_duration_milliseconds", "instance")},
            "s",
        ),
        Panel(
            "Time to read a DAG file, 95th percentile",
            {"{{file_name}}": quantile(0.95, "dag_processing_last_duration_milliseconds", "file_name")},
            "s",
        ),
    ),
}
