"""The chart on a real cluster: `small` beside existing stores, records moved, pods killed, upgrades."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.helpers import time_limit
from tests.helpers.cluster import stores
from tests.helpers.cluster.cluster import available, cluster
from tests.helpers.cluster.declared_edges import EDGES, Edges
from tests.helpers.cluster.kubectl import Kubernetes, load_images, run, wait_until_deleted
from tests.helpers.cluster.network import network
from tests.helpers.cluster.release import CHART, SMALL, Release
from tests.helpers.page_walk import visit_every_page
from tests.helpers.support import REPOSITORY, eventually

NAMESPACE = "insights-e2e"
IMAGES = ("airflow", "publisher", "spark", "dashboard")
PAGE = "http://insights.localhost"
COMPONENTS = (
    "publisher",
    "stream",
    "dashboard",
    "source",
    "airflow-scheduler",
    "airflow-api-server",
    "airflow-dag-processor",
)
FETCHED = "fetched"
CRDS = REPOSITORY.parent / "shared" / "crds"
OTHERS = ("cert-manager.io", "monitoring.coreos.com")
"""Groups of definitions that are not there; the chart tests validate their objects."""

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not available(), reason="KUBECONFIG names no cluster that answers: make kind, or kind create cluster"
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    time_limit.require(time_limit.CLUSTER_SECONDS)
    with cluster():
        yield


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A namespace with Pod Security level `restricted`, the project's images on the node, and the stores in pods."""
    run("make", "--jobs=2", "images")
    stores.build_image(tmp_path_factory.mktemp("store"), f"user-insights/spark:{_version()}")
    load_images(*(f"user-insights/{name}:{_version()}" for name in IMAGES), stores.IMAGE)
    namespace = Kubernetes(NAMESPACE)
    run("kubectl", "create", "namespace", NAMESPACE)
    run("kubectl", "label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    stores.start(namespace)
    stores.prepare(namespace)
    yield namespace
    run("kubectl", "delete", "namespace", NAMESPACE, "--timeout=180s", check=False)


@pytest.fixture(scope="module")
def release(kubernetes: Kubernetes) -> Release:
    installed = Release(kubernetes)
    installed.install()
    return installed


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"the operators' CRDs are not in {CRDS}")
@pytest.mark.parametrize("profile", ["small", "kind", "production"])
def test_the_api_server_accepts_every_object_of_a_profile(profile: str) -> None:
    for crd in sorted(CRDS.glob("*.yaml")):
        run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(crd))
    namespace = Kubernetes(f"insights-{profile}")
    run("kubectl", "create", "namespace", namespace.namespace)
    try:
        values = ("--values", f"{CHART}/profiles/{profile}.yaml", "--set", "images.preloaded=true")
        rendered = yaml.safe_load_all(namespace.helm("template", "insights", CHART, *values))
        objects = [item for item in rendered if item and not item["apiVersion"].startswith(OTHERS)]
        # The API server rejects a pod whose service account does not exist.
        namespace.apply(*(item for item in objects if item["kind"] == "ServiceAccount"))
        documents = "\n---\n".join(yaml.safe_dump(item) for item in objects)
        output = namespace.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=documents)
        assert output.count("serverside-applied (server dry run)") == len(objects)
        if profile == "production":
            _cassandra_takes_the_default_class(namespace)
    finally:
        run("kubectl", "delete", "namespace", namespace.namespace, "--wait=false")


def test_a_dag_run_of_task_pods_delivers_five_thousand_records_to_cassandra(release: Release) -> None:
    task_pods: set[str] = set()
    with release.airflow() as airflow:
        run_id = airflow.ingest(pages=5, page_size=1000)

        def ended() -> bool:
            task_pods.update(pod["metadata"]["name"] for pod in release.kubernetes.pods("airflow-task", release.name))
            assert airflow.state(run_id) != "failed", release.kubernetes.describe_state()
            return airflow.state(run_id) == "success"

        eventually(ended, 600, "the run did not succeed", pause=1)
        assert len(task_pods) >= 2
        assert "Traceback" not in airflow.log(run_id, "plan")
    hops = release.ledger()
    assert hops[FETCHED] >= 5000


def test_the_log_of_a_task_outlives_its_pod(release: Release) -> None:
    with release.airflow() as airflow:
        run_id = airflow.ingest(pages=1, page_size=100)
        eventually(lambda: airflow.state(run_id) == "success", 300, "the run did not succeed", pause=2)
        eventually(
            lambda: not release.kubernetes.pods("airflow-task", release.name), 120, "a task's pod stays", pause=2
        )
        assert "Pre Execute" in airflow.log(run_id, "plan")


def test_the_cleanup_deletes_what_is_old_and_keeps_runs_and_logs_of_late(release: Release) -> None:
    kubernetes = release.kubernetes
    server, old = f"deployment/{release.fullname}-airflow-api-server", "/var/lib/airflow/logs/dag_id=old/attempt=1.log"
    kubernetes.kubectl("exec", server, "--", "sh", "-ec", f"mkdir -p $(dirname {old}); touch -d '31 days ago' {old}")
    kubernetes.kubectl("create", "job", "cleanup", f"--from=cronjob/{release.fullname}-airflow-cleanup")
    kubernetes.kubectl("wait", "job/cleanup", "--for=condition=complete", "--timeout=240s")
    assert "gone" in kubernetes.kubectl("exec", server, "--", "sh", "-c", f"test -e {old} || echo gone")
    kubernetes.kubectl("delete", "job", "cleanup")
    with release.airflow() as airflow:
        runs = airflow.request("dags/ingest_users/dagRuns")["dag_runs"]
        run_id = next(run["dag_run_id"] for run in runs if run["state"] == "success")
        assert "Pre Execute" in airflow.log(run_id, "plan")


def test_the_dashboard_starts_a_redrive_with_a_login_of_its_own(release: Release) -> None:
    run_id = release.redrive()
    with release.airflow() as airflow:
        eventually(
            # It fails if no record is open with this reason: here only the login matters.
            lambda: airflow.state(run_id, "redrive_quarantine") in ("success", "failed"),
            300,
            "the re-drive did not end",
            pause=2,
        )


def test_commands_of_operators_run_in_the_toolbox(release: Release) -> None:
    toolbox = "job/toolbox"
    release.kubernetes.kubectl("create", "job", "toolbox", f"--from=cronjob/{release.fullname}-toolbox")
    release.kubernetes.kubectl("wait", toolbox, "--for=jsonpath={.status.ready}=1", "--timeout=180s")
    checked = release.kubernetes.kubectl("exec", toolbox, "--", "insights", "check", "--wait", "120")
    assert "Ledger closed" in checked
    period = ("--from", "2026-01-01T00:00Z", "--to", "2100-01-01T00:00Z")
    replayed = release.kubernetes.kubectl("exec", toolbox, "--", "insights", "replay", *period, "--dry-run")
    assert "would" in replayed.lower()
    release.kubernetes.kubectl("delete", toolbox)


def test_helm_test_counts_every_hop(release: Release) -> None:
    assert "Ledger closed" in release.test()


def test_the_network_admits_the_declared_connections_and_no_others(release: Release) -> None:
    _admits(release.kubernetes, EDGES["small"])


@pytest.mark.usefixtures("kubernetes")
def test_the_network_admits_what_production_declares_and_nothing_else() -> None:
    namespace = Kubernetes("insights-e2e-production")
    values = ("--values", f"{CHART}/profiles/production.yaml", "--set", "images.preloaded=true")
    rendered = yaml.safe_load_all(namespace.helm("template", "insights", CHART, *values, "--set", "requireCrds=false"))
    run("kubectl", "create", "namespace", namespace.namespace)
    try:
        namespace.apply(*(item for item in rendered if item and item["kind"] == "NetworkPolicy"))
        _admits(namespace, EDGES["production"])
    finally:
        run("kubectl", "delete", "namespace", namespace.namespace, "--wait=false")


def test_the_pages_are_served_through_the_ingress(release: Release, artifacts: Path) -> None:
    assert release.ready("dashboard")
    visit_every_page(PAGE, artifacts, "cluster", seconds=180)


def test_every_pod_killed_during_the_flow_without_cassandra_loses_nothing(release: Release) -> None:
    before = release.ledger()[FETCHED]
    with release.airflow() as airflow:
        airflow.ingest(pages=4, page_size=2500)
    with stores.unreachable(release.kubernetes, "cassandra"):
        for component in COMPONENTS:
            for pod in release.kubernetes.pods(component, release.name):
                name = pod["metadata"]["name"]
                release.kubernetes.kubectl("delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
                wait_until_deleted(release.kubernetes, name)
        for component in set(COMPONENTS) - {"stream"}:
            eventually(partial(release.ready, component), 400, f"{component} needs Cassandra", pause=2)
        assert not release.ready("stream")
        assert "Cassandra does not answer" in release.page_warnings()
        with release.airflow() as airflow:
            check = airflow.trigger("check_data_flow", wait_seconds=400)
    eventually(partial(release.ready, "stream"), 400, "the stream is not back", pause=2)
    eventually(lambda: release.ledger()[FETCHED] >= before + 10_000, 600, "the run was not resumed", pause=5)
    with release.airflow() as airflow:
        eventually(
            lambda: airflow.state(check, "check_data_flow") in {"success", "failed"}, 600, "the check runs", pause=2
        )
        assert airflow.state(check, "check_data_flow") == "success", release.kubernetes.describe_state()


def test_a_drained_stream_ends_cleanly_and_comes_back(release: Release) -> None:
    [pod] = release.kubernetes.pods("stream", release.name)
    phases = release.kubernetes.evict(pod["metadata"]["name"])
    assert phases[-1] == "Succeeded", phases
    eventually(partial(release.ready, "stream"), 240, "the stream is not back", pause=2)


def test_an_upgrade_and_a_rollback_keep_every_record_and_secret(release: Release) -> None:
    keys = release.kubernetes.secret(f"{release.fullname}-airflow-keys", "fernet-key")
    before = release.ledger()
    release.install("--set", "publisher.replicas=1")
    assert len(release.kubernetes.pods("publisher", release.name)) == 1
    with stores.newer_airflow(release.kubernetes):
        refused = release.kubernetes.helm("rollback", release.name, "1", check=False)
        assert f"Job/{NAMESPACE}/{release.fullname}-check-schema not ready. status: Failed" in refused
        said = release.kubernetes.kubectl("logs", f"job/{release.fullname}-check-schema")
        assert "the schema ffffffffffff of a newer Airflow" in said
        assert len(release.kubernetes.pods("publisher", release.name)) == 1
    release.kubernetes.helm("rollback", release.name, "1", "--wait", "--timeout", "600s")
    eventually(lambda: len(release.kubernetes.pods("publisher", release.name)) == 2, 120, "not rolled back", pause=1)
    assert release.kubernetes.secret(f"{release.fullname}-airflow-keys", "fernet-key") == keys
    assert release.ledger()[FETCHED] >= before[FETCHED]


def test_a_second_release_beside_the_first_leaves_it_alone(release: Release) -> None:
    second = Release(release.kubernetes, "other")
    second.install(
        "--set",
        "airflow.enabled=false,publisher.replicas=1,postgres.database=other,cassandra.keyspace=other",
        "--set",
        "kafka.topics.raw=other.raw,kafka.topics.quarantine=other.quarantine",
        "--set",
        "dashboard.ingress.host=other.localhost",
    )
    assert second.ledger()[FETCHED] == 0
    second.kubernetes.helm("uninstall", second.name, "--wait", "--timeout", "300s")
    assert release.ledger()[FETCHED] > 0
    _leaves(second, {"persistentvolumeclaim/stream-checkpoint"})


def test_a_store_that_refuses_the_login_is_named_in_the_pods_status(release: Release) -> None:
    kubernetes = release.kubernetes
    kubernetes.kubectl(
        "create", "secret", "generic", "wrong", "--from-literal=username=insights", "--from-literal=password=no"
    )
    refused = ("--set", "airflow.enabled=false,postgres.external.existingSecret=wrong,dashboard.ingress.enabled=false")
    kubernetes.helm("install", "refused", CHART, *SMALL, *refused)

    def message() -> str:
        for pod in kubernetes.pods("migrations", "refused"):
            for status in pod["status"].get("containerStatuses", []):
                ended = status["state"].get("terminated") or status.get("lastState", {}).get("terminated") or {}
                if "PostgreSQL at postgres:5432 refused the login of 'insights' to" in ended.get("message", ""):
                    return str(ended["message"])
        return ""

    said = eventually(message, 240, "the pod's status does not say why", pause=2)
    assert "password authentication failed" in said
    assert "Traceback" not in said
    kubernetes.helm("uninstall", "refused", "--wait", "--timeout", "300s")


def test_a_missing_secret_is_reported_before_anything_is_created(release: Release) -> None:
    flags = ("--set", "postgres.external.existingSecret=not-there", "--set", "airflow.enabled=false")
    said = release.kubernetes.helm("install", "missing", CHART, *SMALL, *flags, check=False)
    assert 'The Secret "not-there" is not in namespace "insights-e2e"' in said
    assert not release.kubernetes.get("all", "-l", "app.kubernetes.io/instance=missing")


def test_what_is_uninstalled_leaves_its_checkpoint_and_its_one_time_secrets(release: Release) -> None:
    kubernetes, labels = release.kubernetes, f"app.kubernetes.io/instance={release.name},app.kubernetes.io/component="
    kubernetes.helm("uninstall", release.name)
    eventually(
        lambda: not kubernetes.get("pods", "-l", f"{labels}airflow-scheduler"), 120, "the scheduler stays", pause=2
    )
    kubernetes.kubectl("delete", "pods", "-l", f"{labels}airflow-task")
    secrets = {f"secret/airflow-{name}" for name in ("admin", "dashboard", "keys")}
    _leaves(release, {"persistentvolumeclaim/stream-checkpoint"} | secrets)


def _admits(kubernetes: Kubernetes, edges: Edges) -> None:
    with network(kubernetes, edges) as pairs:

        def as_declared() -> bool:
            faults = pairs.find_faults()
            assert not faults, f"{len(faults)} pairs: {'; '.join(faults[:50])}"
            return True

        eventually(as_declared, 60, "the network differs from the declared edges", pause=2)


def _cassandra_takes_the_default_class(kubernetes: Kubernetes) -> None:
    default = next(
        one["metadata"]["name"]
        for one in kubernetes.get("storageclasses")
        if one["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    )
    options = ("--dry-run=server", "--set", "requireCrds=false,images.preloaded=true,cassandra.tls.enabled=false")
    rendered = kubernetes.helm("template", "fresh", CHART, *options, "-s", "templates/cassandra/k8ssandracluster.yaml")
    [datacenter] = yaml.safe_load(rendered)["spec"]["cassandra"]["datacenters"]
    claim = datacenter["storageConfig"]["cassandraDataVolumeClaimSpec"]
    assert claim["storageClassName"] == default


def _leaves(release: Release, expected: set[str]) -> None:
    """Exactly these are left of a release, but for the finished pod of `helm test`, which Helm never deletes."""

    def exact() -> bool:
        found = release.kubernetes.get("all,pvc,configmaps,ingresses,networkpolicies,secrets,serviceaccounts,roles,pdb")
        names = {f"{item['kind'].lower()}/{item['metadata']['name']}": item for item in found}
        left = {
            name.replace(f"{release.fullname}-", "")
            for name, item in names.items()
            if item["metadata"]["name"].startswith(release.fullname)
            and not (name == f"pod/{release.fullname}-test-check" and item["status"]["phase"] == "Succeeded")
        }
        assert left == expected
        return True

    eventually(exact, 120, "something else is left", pause=2)


def _version() -> str:
    """The chart's appVersion, which is the images' tag."""
    chart = yaml.safe_load(Path(CHART, "Chart.yaml").read_text())
    return str(chart["appVersion"])
