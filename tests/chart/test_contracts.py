"""Everything that the manifests refer to exists: settings, topics, stores, Secrets and each other."""

from typing import Any

from pydantic_settings import BaseSettings

from insights import settings
from tests.helpers.chart.manifests import name_of, pods, selects
from tests.helpers.chart.references import config_maps, generated_secrets, known_secrets, secrets
from tests.helpers.chart.render import Rendered, effective, render, values_of

HOOK = "helm.sh/hook"
TOPICS = ("INSIGHTS_KAFKA_RAW_TOPIC", "INSIGHTS_KAFKA_QUARANTINE_TOPIC")


def declared() -> set[str]:
    """Return the variables that `insights.settings` reads."""
    groups = [kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, BaseSettings)]
    return {
        str(field.validation_alias or str(group.model_config.get("env_prefix")) + name.upper())
        for group in groups
        for name, field in group.model_fields.items()
    }


def environment(rendered: Rendered) -> dict[str, set[str]]:
    """Return the literal values of each variable in the manifests; a reference counts as an empty value."""
    found: dict[str, set[str]] = {}
    for pod in pods(rendered):
        for container in pod.containers():
            for name, variable in container.environment.items():
                found.setdefault(name, set()).add(str(variable.get("value", "")))
    for config_map in rendered.of("ConfigMap"):
        for name, value in (config_map.get("data") or {}).items():
            found.setdefault(name, set()).add(value)
    return found


def test_every_variable_of_the_platform_is_read_by_the_settings(rendered: Rendered) -> None:
    ours = {name for name in environment(rendered) if name.startswith("INSIGHTS_")}
    assert ours
    assert ours - declared() == set()


def test_every_program_gets_the_topics_of_the_values(profile: str, rendered: Rendered) -> None:
    topics = effective(values_of(profile))["kafka"]["topics"]
    variables = environment(rendered)
    assert [variables[name] for name in TOPICS] == [{topics["raw"]}, {topics["quarantine"]}]


def test_the_topics_of_the_chart_are_those_that_the_programs_use(rendered: Rendered) -> None:
    made = {topic["spec"].get("topicName", topic["metadata"]["name"]) for topic in rendered.of("KafkaTopic")}
    if rendered.of("Kafka"):
        assert made == set().union(*(environment(rendered)[name] for name in TOPICS))
    else:
        assert made == set()


def test_kafka_users_have_rights_on_existing_topics(rendered: Rendered) -> None:
    made = {topic["spec"].get("topicName", topic["metadata"]["name"]) for topic in rendered.of("KafkaTopic")}
    for user in rendered.of("KafkaUser"):
        rules = user["spec"]["authorization"]["acls"]
        assert rules, name_of(user)
        assert {rule["resource"]["name"] for rule in rules if rule["resource"]["type"] == "topic"} <= made


def test_programs_connect_to_kafka_where_strimzi_serves_it(rendered: Rendered) -> None:
    variables = environment(rendered)
    for kafka in rendered.of("Kafka"):
        [listener] = [one for one in kafka["spec"]["kafka"]["listeners"] if one["tls"]]
        address = f"{kafka['metadata']['name']}-kafka-bootstrap:{listener['port']}"
        assert variables["INSIGHTS_KAFKA_BOOTSTRAP_SERVERS"] == {address}
        users = {user["metadata"]["name"] for user in rendered.of("KafkaUser")}
        assert variables["INSIGHTS_KAFKA_USERNAME"] <= users


def test_programs_connect_to_postgres_where_cloudnativepg_serves_it(rendered: Rendered) -> None:
    variables = environment(rendered)
    for cluster in rendered.of("Cluster"):
        assert variables["INSIGHTS_POSTGRES_HOST"] == {f"{cluster['metadata']['name']}-rw"}
        assert variables["INSIGHTS_POSTGRES_DBNAME"] <= {one["spec"]["name"] for one in rendered.of("Database")}


def test_programs_connect_to_cassandra_where_k8ssandra_serves_it(rendered: Rendered) -> None:
    variables = environment(rendered)
    for cluster in rendered.of("K8ssandraCluster"):
        [datacenter] = cluster["spec"]["cassandra"]["datacenters"]
        name = datacenter["metadata"]["name"]
        assert variables["INSIGHTS_CASSANDRA_HOSTS"] == {f"{cluster['metadata']['name']}-{name}-service"}
        assert variables["INSIGHTS_CASSANDRA_LOCAL_DC"] == {name}


def test_the_dashboard_connects_to_the_service_of_airflow(rendered: Rendered) -> None:
    [address] = environment(rendered)["INSIGHTS_AIRFLOW_URL"]
    [service] = [one for one in rendered.of("Service") if one["metadata"]["name"].endswith("-airflow-api-server")]
    assert address == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


def test_the_dashboard_logs_in_to_airflow_with_the_password_that_its_user_is_given(rendered: Rendered) -> None:
    given, used = (
        [
            one.environment[variable]["valueFrom"]["secretKeyRef"]
            for pod in pods(rendered)
            for one in pod.containers()
            if variable in one.environment
        ]
        for variable in ("AIRFLOW_DASHBOARD_PASSWORD", "INSIGHTS_AIRFLOW_PASSWORD")
    )
    assert given == used != []


def test_every_role_of_postgres_logs_in_by_its_own_name(rendered: Rendered) -> None:
    made = {secret["name"]: secret for secret in generated_secrets(rendered)}
    for role in rendered.of("DatabaseRole"):
        secret = made[role["spec"]["passwordSecret"]["name"]]
        assert secret["values"]["username"] == role["spec"]["name"]
        assert secret["type"] == "kubernetes.io/basic-auth"


def test_every_secret_that_is_read_is_created(profile: str, rendered: Rendered) -> None:
    known = known_secrets(rendered, values_of(profile))
    missing = []
    for reference in secrets(rendered):
        if reference.name not in known:
            missing.append(f"{reference.holder} reads the Secret {reference.name}, which nothing creates")
            continue
        keys = known[reference.name]
        missing += [
            f"{reference.holder} reads {key} of the Secret {reference.name}, which has {sorted(keys or ())}"
            for key in reference.keys
            if keys is not None and key not in keys
        ]
    assert missing == []


def test_the_profiles_with_stores_read_secrets_of_the_operators() -> None:
    names = {reference.name for reference in secrets(render("kind"))}
    assert {f"insights-user-insights-{end}" for end in ("cluster-ca-cert", "publisher", "postgres-publisher")} <= names


def test_every_config_map_that_is_read_is_in_the_release(rendered: Rendered) -> None:
    made = {one["metadata"]["name"]: set(one.get("data") or {}) for one in rendered.of("ConfigMap")}
    made["kube-root-ca.crt"] = {"ca.crt"}
    read = config_maps(rendered)
    assert [reference for reference in read if not set(reference.keys) <= made.get(reference.name, set())] == []
    assert {reference.name for reference in read} <= set(made)


def test_every_volume_claim_and_service_account_of_a_pod_is_in_the_release(rendered: Rendered) -> None:
    claims = {one["metadata"]["name"] for one in rendered.of("PersistentVolumeClaim")}
    accounts = {one["metadata"]["name"] for one in rendered.of("ServiceAccount")}
    for pod in pods(rendered):
        volumes = pod.spec.get("volumes") or []
        claimed = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
        assert claimed <= claims, pod.owner
        assert pod.spec.get("serviceAccountName") in accounts | {None}, pod.owner


def test_hooks_before_the_release_need_no_account_that_comes_with_it(rendered: Rendered) -> None:
    hooks = {
        name_of(one): one
        for one in rendered.resources
        if "pre-" in str(one["metadata"].get("annotations", {}).get(HOOK))
    }
    pods_before = [pod for pod in pods(rendered) if pod.owner in hooks]
    assert pods_before
    for pod in pods_before:
        assert "serviceAccountName" not in pod.spec or f"ServiceAccount/{pod.spec['serviceAccountName']}" in hooks, (
            pod.owner
        )


def test_every_service_budget_and_rule_selects_pods_of_the_release(rendered: Rendered) -> None:
    labels = [pod.labels for pod in pods(rendered)]
    selectors: list[tuple[str, dict[str, Any]]] = [
        *((name_of(one), {"matchLabels": one["spec"]["selector"]}) for one in rendered.of("Service")),
        *((name_of(one), one["spec"]["selector"]) for one in rendered.of("PodDisruptionBudget", "Deployment")),
    ]
    assert [holder for holder, selector in selectors if not any(selects(selector, one) for one in labels)] == []


def test_every_service_leads_to_a_port_of_its_pods(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        behind = [pod for pod in pods(rendered) if selects(selector, pod.labels)]
        ports = [port for pod in behind for one in pod.containers() for port in one.spec.get("ports") or []]
        known = {port.get("name") for port in ports} | {port["containerPort"] for port in ports}
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in known, name_of(service)


def test_every_route_leads_to_a_port_of_a_service_of_the_release(rendered: Rendered) -> None:
    services = {
        (one["metadata"]["name"], port[key])
        for one in rendered.of("Service")
        for port in one["spec"]["ports"]
        for key in ("name", "port")
        if key in port
    }
    for ingress in rendered.of("Ingress"):
        paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        backends = [path["backend"]["service"] for path in paths]
        assert backends
        assert {(one["name"], next(iter(one["port"].values()))) for one in backends} <= services
    for route in rendered.of("HTTPRoute"):
        references = [one for rule in route["spec"]["rules"] for one in rule["backendRefs"]]
        assert {(one["name"], one["port"]) for one in references} <= services
