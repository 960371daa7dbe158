"""The resources of the operators: permissions, what survives an uninstall, and what a single node does without."""

import json
from itertools import pairwise

import pytest

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.render import Resource, effective, overlaid, render, values_of
from tests.helpers.chart.schemas import custom_schemas, invalid

OPERATORS = ["defaults", "kind", "production"]
DATA = {"Kafka", "KafkaNodePool", "KafkaTopic", "Cluster", "ObjectStore", "K8ssandraCluster"}
RIGHTS = {
    "publisher": {
        "topic users.raw": {"Write", "Describe", "DescribeConfigs"},
        "topic users.quarantine": {"Write", "Describe"},
    },
    "stream": {
        "topic users.raw": {"Read", "Describe", "DescribeConfigs"},
        "topic users.quarantine": {"Write", "Describe"},
        "group spark-kafka-source": {"Read"},
    },
    "ingest": {"topic users.raw": {"Read", "Write", "Describe"}, "group insights-ledger-": {"Describe"}},
    "dashboard": {
        "topic users.raw": {"Read", "Describe"},
        "topic users.quarantine": {"Read", "Describe"},
        "group insights-ledger-": {"Describe"},
        "group insights-dashboard-": {"Describe"},
    },
}


def one(profile: str, kind: str) -> Resource:
    [found] = render(profile).of(kind)
    return found


@pytest.mark.parametrize("user", RIGHTS)
def test_a_kafka_user_has_exactly_the_permissions_of_its_program(user: str) -> None:
    [found] = [one for one in render().of("KafkaUser") if one["metadata"]["name"].endswith(f"-{user}")]
    rules = found["spec"]["authorization"]["acls"]
    granted = {f"{rule['resource']['type']} {rule['resource']['name']}": set(rule["operations"]) for rule in rules}
    assert granted == RIGHTS[user]
    assert {rule["resource"]["patternType"] for rule in rules if rule["resource"]["type"] == "topic"} == {"literal"}


@pytest.mark.parametrize("profile", OPERATORS)
def test_an_uninstall_keeps_every_resource_whose_deletion_deletes_data(profile: str) -> None:
    kept = {
        resource["kind"]
        for resource in render(profile).resources
        if (resource["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"
    }
    assert {resource["kind"] for resource in render(profile).of(*DATA)} <= kept


def test_only_the_ingest_role_acts_for_the_owner_of_the_tables() -> None:
    members = {role["spec"]["name"]: role["spec"].get("inRoles") for role in render().of("DatabaseRole")}
    assert {name: groups for name, groups in members.items() if groups} == {"insights_ingest": ["insights"]}


def test_a_login_for_readers_exists_only_on_demand() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "research"}}}]
    wanted = render(
        overlaid(values_of("production"), {"readers": {"enabled": True, "connectionLimit": 7, "from": peers}})
    )
    assert not [line for line in render("production").text.splitlines() if "reader" in line and "insights" in line]
    [role] = [one for one in wanted.of("DatabaseRole") if one["spec"]["name"] == "insights_reader"]
    assert (role["spec"]["connectionLimit"], role["spec"].get("inRoles")) == (7, None)
    [migrations] = [pod for pod in pods(wanted) if "-migrations-" in pod.owner]
    [container] = migrations.containers()
    for store in ("POSTGRES", "CASSANDRA"):
        roles = json.loads(container.environment[f"INSIGHTS_ACCESS_{store}"]["value"])
        assert roles["reader"] == "insights_reader"
    opened = {
        policy["metadata"]["name"].rpartition("-")[2]: [port["port"] for port in rule["ports"]]
        for policy in wanted.of("NetworkPolicy")
        for rule in policy["spec"].get("ingress") or []
        if rule.get("from") == peers
    }
    assert opened == {"postgres": [5432], "cassandra": [9042]}


def test_one_broker_is_its_own_controller() -> None:
    assert one("defaults", "KafkaNodePool")["spec"]["roles"] == ["controller", "broker"]


def test_with_dedicated_controllers_brokers_are_only_brokers() -> None:
    roles = [pool["spec"]["roles"] for pool in render("production").of("KafkaNodePool")]
    assert sorted(roles) == [["broker"], ["controller"]]


def test_two_releases_in_one_namespace_have_pools_of_different_names() -> None:
    names = [one["metadata"]["name"] for name in ("a", "b") for one in render(release=name).of("KafkaNodePool")]
    assert len(set(names)) == 2


def test_a_drain_does_not_wait_for_a_single_postgres() -> None:
    assert one("defaults", "Cluster")["spec"]["enablePDB"] is False
    assert one("production", "Cluster")["spec"]["enablePDB"] is True


def test_a_synchronous_commit_survives_the_loss_of_the_primary() -> None:
    synchronous = one("production", "Cluster")["spec"]["postgresql"]["synchronous"]
    assert synchronous == {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    assert "synchronous" not in one("defaults", "Cluster")["spec"]["postgresql"]


def test_every_container_of_cassandra_drops_its_capabilities() -> None:
    cassandra = one("defaults", "K8ssandraCluster")["spec"]["cassandra"]
    containers = cassandra["initContainers"] + cassandra["containers"]
    names = {container["name"] for container in containers}
    assert names == {"server-config-init-base", "server-config-init", "cassandra", "server-system-logger"}
    assert all(container["securityContext"]["capabilities"] == {"drop": ["ALL"]} for container in containers)


def test_clients_of_cassandra_check_the_name_of_its_service_which_every_certificate_contains() -> None:
    rendered = render("kind")
    [certificate] = [one for one in rendered.of("Certificate") if one["metadata"]["name"].endswith("-tls")]
    names = {
        container.environment["INSIGHTS_CASSANDRA_SERVER_NAME"]["value"]
        for pod in pods(rendered)
        for container in pod.containers()
        if "INSIGHTS_CASSANDRA_CA_FILE" in container.environment
    }
    assert len(names) == 1
    assert names <= set(certificate["spec"]["dnsNames"])


@pytest.mark.parametrize(
    ("external", "name"),
    [({}, None), ({"caSecret": "a"}, None), ({"caSecret": "a", "serverName": "c.test"}, {"value": "c.test"})],
)
def test_the_certificates_of_an_external_cassandra_contain_the_name_in_the_values(
    external: dict[str, str], name: dict[str, str] | None
) -> None:
    rendered = render(overlaid(values_of("small"), {"cassandra": {"external": external}}))
    [stream] = [pod for pod in pods(rendered) if pod.owner.endswith("-stream")]
    found = stream.containers()[-1].environment.get("INSIGHTS_CASSANDRA_SERVER_NAME")
    assert found == (name and {"name": "INSIGHTS_CASSANDRA_SERVER_NAME", **name})


def test_an_external_postgres_is_verified_unless_the_values_say_otherwise() -> None:
    assert effective({})["postgres"]["external"]["sslmode"] == "verify-full"


@pytest.mark.parametrize("profile", OPERATORS)
def test_only_the_development_cluster_deletes_kafkas_volumes_with_its_pools(profile: str) -> None:
    claims = {
        volume["deleteClaim"]
        for pool in render(profile).of("KafkaNodePool")
        for volume in pool["spec"]["storage"]["volumes"]
    }
    assert claims == {profile == "kind"}


@pytest.mark.parametrize("profile", ["defaults", "production"])
def test_volumes_are_of_the_default_class_unless_the_values_name_one(profile: str) -> None:
    text = render(overlaid(values_of(profile), {"cassandra": {"storageClass": ""}})).text
    assert [line for line in text.splitlines() if "storageClass" in line or " class: " in line] == []


def test_without_tls_cassandra_needs_no_certificate() -> None:
    rendered = render(overlaid(values_of("defaults"), {"cassandra": {"tls": {"enabled": False}}}))
    [cluster] = rendered.of("K8ssandraCluster")
    assert rendered.of("Certificate", "Issuer") == []
    assert "clientEncryptionStores" not in cluster["spec"]["cassandra"]
    assert "client_encryption_options" not in cluster["spec"]["cassandra"]["config"]["cassandraYaml"]


@pytest.mark.parametrize(
    ("internode", "encrypted", "optional"),
    [("accepted", "dc", True), ("preferred", "all", True), ("required", "all", False)],
)
def test_nodes_of_cassandra_identify_themselves_to_each_other(internode: str, encrypted: str, optional: bool) -> None:
    values = overlaid(values_of("defaults"), {"cassandra": {"tls": {"internode": internode}}})
    [cluster] = render(values).of("K8ssandraCluster")
    cassandra = cluster["spec"]["cassandra"]
    options = cassandra["config"]["cassandraYaml"]["server_encryption_options"]
    assert options == {"internode_encryption": encrypted, "optional": optional, "require_client_auth": True}
    assert cassandra["serverEncryptionStores"] == cassandra["clientEncryptionStores"]


def test_only_production_encrypts_between_the_nodes_of_cassandra() -> None:
    cassandra = {profile: one(profile, "K8ssandraCluster")["spec"]["cassandra"] for profile in OPERATORS}
    encrypted = {profile for profile, spec in cassandra.items() if "serverEncryptionStores" in spec}
    configured = {
        name for name, spec in cassandra.items() if "server_encryption_options" in spec["config"]["cassandraYaml"]
    }
    assert encrypted == configured == {"production"}


def test_nodes_of_cassandra_live_in_the_zone_of_their_rack() -> None:
    [datacenter] = one("production", "K8ssandraCluster")["spec"]["cassandra"]["datacenters"]
    zones = {rack["name"]: rack["nodeAffinityLabels"]["topology.kubernetes.io/zone"] for rack in datacenter["racks"]}
    assert zones == {"r1": "a", "r2": "b", "r3": "c"}


@pytest.mark.parametrize(
    ("profile", "external", "expected"),
    [
        ("kind", {}, {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/insights/authorities/postgres.crt"}),
        ("small", {}, {"PGSSLMODE": "disable"}),
        (
            "small",
            {"sslmode": "verify-full", "caSecret": "authority"},
            {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/insights/authorities/postgres.crt"},
        ),
    ],
)
def test_airflow_verifies_its_database_like_the_platform_does(
    profile: str, external: dict[str, str], expected: dict[str, str]
) -> None:
    rendered = render(overlaid(values_of(profile), {"postgres": {"external": external}}))
    [scheduler] = [one for one in rendered.of("Deployment") if one["metadata"]["name"].endswith("-airflow-scheduler")]
    [container] = scheduler["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert {name: value for name, value in env.items() if name.startswith("PGSSL")} == expected


@pytest.mark.parametrize(("profile", "waited_for"), [("kind", ["postgres", "cassandra"]), ("small", [])])
def test_the_migrations_wait_for_the_logins_that_operators_create(profile: str, waited_for: list[str]) -> None:
    [job] = [one for one in render(profile).of("Job") if "-migrations-" in one["metadata"]["name"]]
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert [after for before, after in pairwise(command) if before == "--new-logins"] == waited_for


def test_backups_use_the_identity_of_the_pods_if_told_so() -> None:
    backup = {"enabled": True, "destinationPath": "s3://b/p", "inheritFromIAMRole": True}
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/backup"}
    rendered = render(
        overlaid(values_of("defaults"), {"postgres": {"backup": backup, "serviceAccountAnnotations": role}})
    )
    [store], [cluster] = rendered.of("ObjectStore"), rendered.of("Cluster")
    assert store["spec"]["configuration"]["s3Credentials"] == {"inheritFromIAMRole": True}
    assert cluster["spec"]["serviceAccountTemplate"] == {"metadata": {"annotations": role}}
    assert invalid([store, cluster], custom_schemas()) == []


def test_requests_for_backups_are_signed_for_the_region_of_the_values() -> None:
    backup = {"enabled": True, "destinationPath": "s3://b/p", "existingSecret": "s", "region": "fr-par"}
    rendered = render(overlaid(values_of("defaults"), {"postgres": {"backup": backup}}))
    [store] = rendered.of("ObjectStore")
    sidecar = store["spec"]["instanceSidecarConfiguration"]
    assert sidecar["env"] == [{"name": "AWS_DEFAULT_REGION", "value": "fr-par"}]
    assert invalid([store], custom_schemas()) == []


def test_a_cluster_is_recovered_from_a_backup_and_archives_to_a_folder_of_its_own() -> None:
    store = {"destinationPath": "s3://b/p", "existingSecret": "s"}
    values = {
        "backup": store | {"enabled": True, "serverName": "second"},
        "recovery": {"enabled": True, "targetTime": "2026-11-28 12:00:00+00"},
    }
    rendered = render(overlaid(values_of("defaults"), {"postgres": values}))
    [store_], [cluster] = rendered.of("ObjectStore"), rendered.of("Cluster")
    name = cluster["metadata"]["name"]
    [source], [archiver] = cluster["spec"]["externalClusters"], cluster["spec"]["plugins"]
    assert cluster["spec"]["bootstrap"] == {
        "recovery": {
            "source": source["name"],
            "database": "airflow",
            "owner": "airflow",
            "recoveryTarget": {"targetTime": "2026-11-28 12:00:00+00"},
        }
    }
    assert source["plugin"]["parameters"] == {"barmanObjectName": store_["metadata"]["name"], "serverName": name}
    assert archiver["parameters"] == {"barmanObjectName": store_["metadata"]["name"], "serverName": "second"}
    assert invalid([store_, cluster], custom_schemas()) == []

    [cluster] = render(
        overlaid(values_of("defaults"), {"postgres": {"backup": store, "recovery": {"enabled": True}}})
    ).of("Cluster")
    assert "plugins" not in cluster["spec"]
    assert "recoveryTarget" not in cluster["spec"]["bootstrap"]["recovery"]


def test_replicas_are_repaired_in_production_and_the_policies_let_reaper_in() -> None:
    cluster = one("production", "K8ssandraCluster")
    reaper = cluster["spec"]["reaper"]
    assert reaper["autoScheduling"] == {"enabled": True}
    # The image names its user, which the kubelet cannot tell from root.
    assert reaper["podSecurityContext"]["runAsUser"] == 1000
    assert "reaper" not in one("kind", "K8ssandraCluster")["spec"]
    name = cluster["metadata"]["name"]
    [policy] = [one for one in render("production").of("NetworkPolicy") if one["metadata"]["name"] == name]
    pods_of_reaper = {"podSelector": {"matchExpressions": [{"key": "k8ssandra.io/reaper", "operator": "Exists"}]}}
    [rule] = [rule for rule in policy["spec"]["ingress"] if rule.get("from") == [pods_of_reaper]]
    assert [port["port"] for port in rule["ports"]] == [9042, 8080]
