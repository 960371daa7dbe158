"""Changing any value of values.yaml changes the manifests of some profile: no value is unused."""

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.chart_docs import CHART, Value, build_schema, read_values
from tests.helpers.chart.render import PROFILES, HelmError, effective, nested, overlaid, render_text, values_of

ROOT = read_values((CHART / "values.yaml").read_text())
LEAVES = list(ROOT.leaves())
VALIDATION_ONLY = {"requireCrds", "images.preloaded"}
"""Values that change no manifest, only which values the chart rejects."""
NEEDS: dict[str, dict[str, Any]] = {
    "kafka.external.enabled": {"kafka": {"external": {"bootstrapServers": "b:9092"}}},
    "postgres.external.enabled": {
        "postgres": {"external": {"host": "h", "existingSecret": "s", "caSecret": "a"}},
        "airflow": {"existingDatabaseSecret": "d"},
    },
    "cassandra.softPodAntiAffinity": {"cassandra": {"resources": {"limits": {"cpu": "2"}}}},
    "cassandra.external.enabled": {"cassandra": {"external": {"hosts": "h"}}},
    "airflow.httpRoute.enabled": {"airflow": {"httpRoute": {"gateway": "g"}}},
    "source.simulator.enabled": {"source": {"url": "http://api.test/"}},
    "lineage.url": {"lineage": {"url": "http://marquez:5000"}},
    "telemetry.otlp.endpoint": {"telemetry": {"otlp": {"endpoint": "http://collector:4319"}}},
}
"""Other values that a changed value requires."""
LOGIN = {"existingSecret": "login", "caSecret": "authority"}
EVERYTHING = {
    "podAnnotations": {"a": "b"},
    "deploymentAnnotations": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "postgres": {
        "backup": {"enabled": True, "destinationPath": "s3://b/p", "existingSecret": "s", "serverName": "new"},
        "recovery": {"enabled": True},
    },
    "cassandra": {"backup": {"enabled": True, "medusaConfiguration": "m"}, "repair": {"enabled": True}},
    "kafka": {"controllers": {"replicas": 3}},
    "stream": {"executor": {"dynamicAllocation": {"enabled": True}}},
    "airflow": {
        "ingress": {"enabled": True},
        "httpRoute": {"enabled": True, "gateway": "g"},
        "notify": {"existingSecret": "s"},
        "logs": {"s3": {"folder": "s3://b/logs"}},
    },
    "monitoring": {"enabled": True},
    "readers": {"enabled": True},
    "telemetry": {"otlp": {"endpoint": "http://collector:4318"}},
    "dashboard": {
        "replicas": 2,
        "auth": {"allowAnonymous": True},
        "ingress": {"enabled": True},
        "httpRoute": {"enabled": True, "gateway": "g"},
    },
}
EXTERNAL = {
    "kafka": {"external": LOGIN | {"securityProtocol": "SASL_SSL"}},
    "postgres": {"external": LOGIN | {"sslmode": "verify-full"}},
    "cassandra": {"external": LOGIN},
}
LOGIN_SECRETS = {"oidc": {"existingSecret": "s"}, "proxy": {"existingSecret": "s"}}
SCALED = {"dashboard": {"autoscaling": {"enabled": True}}}
OBJECT_STORE: dict[str, Any] = {"stream": {"checkpoint": {"uri": "s3a://b/p", "existingSecret": "s"}}}
LOGINS: list[dict[str, Any]] = [
    {"dashboard": {"auth": {"mode": mode, "viewers": ["*"]} | LOGIN_SECRETS}} for mode in ("oidc", "proxy")
]
BASES: list[dict[str, Any]] = [
    *(overlaid(values_of("defaults"), over) for over in (EVERYTHING, OBJECT_STORE, SCALED, *LOGINS)),
    overlaid(values_of("small"), EXTERNAL),
    *(values_of(profile) for profile in PROFILES),
]


def others(leaf: Value, current: Any) -> Iterator[Any]:
    """Yield other values that a leaf may take."""
    described = build_schema(leaf)
    if "enum" in described:
        yield from (value for value in described["enum"] if value != current)
        return
    match current:
        case bool():
            yield not current
        case int() | float():
            yield from (current + 1, current + 1_000_000, 1, 2)
        case str():
            yield from ("other", "7Gi", "9.9.9", "app: v1", f"sha256:{'7' * 64}")
        case list() if described["items"].get("type") == "object":
            yield from ([{"name": "r9", "zone": "z9"}], [{"key": "k", "operator": "Exists"}])
        case list():
            yield from (["other"], ["10.7.0.0/16"], ["UserInsightsDataStale"], [587])
        case dict() if "properties" in described:
            yield from ({"requests": {"cpu": "7m"}}, {"priorityClassName": "other"})
        case dict():
            users = ("migrations", "ingest", "publisher", "stream", "dashboard")
            yield from (
                dict.fromkeys(users, "other"),
                {"AIRFLOW__CORE__OTHER": "other"},
            )


def changed(leaf: Value, base: dict[str, Any]) -> bool:
    """Return whether some other value of the leaf changes the manifests of these values."""
    current: Any = effective(base)
    for part in leaf.path:
        current = current[part]
    before = render_text(base)
    for value in others(leaf, current):
        try:
            over = overlaid(nested(leaf.path, value), NEEDS.get(leaf.key, {}))
            if render_text(overlaid(base, over)) != before:
                return True
        except HelmError:
            continue
    return False


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.key)
def test_a_value_changes_what_is_rendered(leaf: Value) -> None:
    assert leaf.key in VALIDATION_ONLY or any(changed(leaf, base) for base in BASES)
