"""Create the administrator, and give the dashboard's user its role and the password from its Secret.

An administrator who exists is left unchanged. The dashboard's role reads the runs of every DAG and starts runs of one;
Airflow's built-in roles that may start runs may start those of every DAG. Schedulers that start together take turns.
"""

import os
import sys

import psycopg2
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

ROLE = "UserInsightsDashboard"
RIGHTS = (
    ("can_read", "DAGs"),
    ("can_read", "DAG Runs"),
    # To start a run of a DAG, Airflow also requires the permission to edit it.
    ("can_edit", "DAG:redrive_quarantine"),
    ("can_create", "DAG Run:redrive_quarantine"),
)


def create_admin(manager, name, password):
    if manager.find_user(username=name):
        return True
    role = manager.find_role("Admin")
    return bool(manager.add_user(name, "Airflow", "Administrator", f"{name}@localhost", role, password))


def set_dashboard_user(manager, name, password):
    role = manager.add_role(ROLE)
    role.permissions = [manager.create_permission(*right) for right in RIGHTS]
    user = manager.find_user(username=name)
    if user is None:
        return bool(manager.add_user(name, "User Insights", "Dashboard", f"{name}@localhost", role, password))
    user.roles = [role]
    return manager.reset_password(user.id, password)


admin, dashboard = sys.argv[1:3]
address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
# Held until this process ends. Airflow's own lock gives up after 1.8 s.
lock = psycopg2.connect(f"postgresql://{address}", connect_timeout=10)
lock.cursor().execute("SELECT pg_advisory_lock(hashtextextended('user_insights.users', 0))")
with get_application_builder() as builder:
    for name, create, password in (
        (admin, create_admin, os.environ["AIRFLOW_ADMIN_PASSWORD"]),
        (dashboard, set_dashboard_user, os.environ["AIRFLOW_DASHBOARD_PASSWORD"]),
    ):
        if not create(builder.sm, name, password):
            sys.exit(f"The Airflow user {name} could not be created.")
        print(f"The Airflow user {name} is ready.")
