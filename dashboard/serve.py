"""What `streamlit run` starts: the pages of `app.py`, and their metrics on a port of its own.

The metrics start with the module, so that a mistake in their settings ends the process with one sentence.
"""

import sys

import streamlit as st

from dashboard import metrics
from insights.errors import UserError, print_error
from insights.probes import ProbeServer
from insights.settings import DashboardMetricsSettings, load


def serve_metrics() -> ProbeServer:
    """Serve the metrics from a background thread.

    Raises:
        UserError: a setting is invalid, or the process cannot listen on the port.
    """
    settings = load(DashboardMetricsSettings)
    return ProbeServer(settings.host, settings.port, "INSIGHTS_DASHBOARD_METRICS_PORT", metrics.REGISTRY)


try:
    serve_metrics()
except UserError as error:
    print_error(error)
    sys.exit(1)

app = st.App("app.py", on_script_error=metrics.count_error)
