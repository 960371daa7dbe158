"""The environment of this process and of its children."""

import os

_UNRELATED_PREFIXES = ("AIRFLOW", "SPARK_", "PYSPARK_", "PYTHON", "STREAMLIT_", "JDK_JAVA_OPTIONS", "PG")


def read_inherited_environment() -> dict[str, str]:
    """The environment of child processes, without variables that configure other installations of the same servers.

    Its encoding is UTF-8: Java derives the encoding of file names from the locale, and knows ASCII only in locale C.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_UNRELATED_PREFIXES)}
    return inherited | {"LC_ALL": "C.UTF-8"}


def extend_no_proxy(*hosts: str) -> str:
    """The environment's list of hosts that are reached without a proxy, and `hosts`."""
    lists = [os.environ.get("no_proxy", ""), os.environ.get("NO_PROXY", ""), *hosts]
    return ",".join(dict.fromkeys(host.strip() for text in lists for host in text.split(",") if host.strip()))


def read_crash_at() -> str:
    """The window of `insights.failpoints` in which a test kills this process; empty outside tests."""
    return os.environ.get("CRASH_AT", "")


def adopt_environment(variables: dict[str, str], *, replace: bool = False) -> None:
    """Set the `INSIGHTS_*` variables of a running platform; without `replace`, those that are not set already."""
    for name, value in variables.items():
        if name.startswith("INSIGHTS_") and (replace or name not in os.environ):
            os.environ[name] = value
