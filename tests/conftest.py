"""Pages that a test draws without a server are shown to everyone."""

import os

os.environ["INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS"] = "true"
