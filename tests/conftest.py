"""Let tests open the dashboard's pages without a login."""

import os

os.environ["INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS"] = "true"
