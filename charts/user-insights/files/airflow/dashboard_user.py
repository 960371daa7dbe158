"""Give the dashboard's user its role and the password from its Secret.

The role reads the runs of every DAG and starts runs of one. Airflow's built-in roles that may start runs may start
those of every DAG.
"""

import os
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

ROLE = "UserInsightsDashboard"
RIGHTS = (
    ("can_read", "DAGs"),
    ("can_read", "DAG Runs"),
    # To start a run of a DAG, Airflow also requires the permission to edit it.
    ("can_edit", "DAG:redrive_quarantine"),
    ("can_create", "DAG Run:redrive_quarantine"),
)

name, password = sys.argv[1], os.environ["AIRFLOW_DASHBOARD_PASSWORD"]
with get_application_builder() as builder:
    manager = builder.sm
    role = manager.add_role(ROLE)
    role.permissions = [manager.create_permission(*right) for right in RIGHTS]
    user = manager.find_user(username=name)
    if user is None:
        user = manager.add_user(name, "User Insights", "Dashboard", f"{name}@localhost", role, password)
        done = bool(user)
    else:
        user.roles = [role]
        done = manager.reset_password(user.id, password)
    if not done:
        sys.exit(f"The Airflow user {name} could not be created.")
    print(f"The Airflow user {name} has the role {ROLE}.")
