"""The arguments that all DAGs have in common."""

from datetime import UTC, datetime
from typing import Any

from insights.clients.failure_notice import send_failure_notice

DAG_ARGUMENTS: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "catchup": False,
    "max_active_runs": 1,
    "tags": ["user-insights"],
}
TASK_ARGUMENTS: dict[str, Any] = {"on_failure_callback": send_failure_notice}
"""For `default_args`: a task that fails for good is reported."""
