"""The notice that a task of a DAG has failed."""

from typing import Any


def send_failure_notice(context: Any) -> None:
    """Send what failed, and why, by the Apprise connection `apprise_default`, if Airflow has one.

    For `on_failure_callback`: Airflow calls it after the last attempt. Attempts that are repeated send nothing.
    """
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import AirflowNotFoundException
    from apprise import NotifyType

    task = context["task_instance"]
    reason = str(context.get("exception") or "").strip() or "see its log"
    title = f"User Insights: {task.dag_id} failed"
    address = task.log_url if conf.get("api", "base_url", fallback="") else ""
    body = f"Task {task.task_id} of run {task.run_id} failed: {reason}\n{address}"
    try:
        AppriseHook().notify(body, title, notify_type=NotifyType.FAILURE)
    except AirflowNotFoundException:
        print("No notice was sent: there is no connection apprise_default.")
