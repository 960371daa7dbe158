"""Give the dashboard's user its role, and the password of its Secret.

The role sees the runs of every DAG and starts runs of one; Airflow's own roles that start runs may start all.
"""

import os
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

ROLE = "UserInsightsDashboard"
RIGHTS = (
    ("can_read", "DAGs"),
    ("can_read", "DAG Runs"),
    # To start a run of a DAG, Airflow asks for the right to edit it too.
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
        sys.exit(f"Airflow's user {name} could not be made.")
    print(f"Airflow's user {name} has the role {ROLE}.")
