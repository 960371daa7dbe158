"""The Spark application: what its driver may do, how its processes trust each other, and when it is restarted."""

import shlex

import pytest

from tests.helpers.chart.manifests import pods
from tests.helpers.chart.references import generated_secrets
from tests.helpers.chart.render import Rendered, Resource, overlaid, render, values_of

OPERATOR = ["defaults", "kind", "production"]
SECRET_FILE = "/etc/insights/spark/secret"


def application(rendered: Rendered) -> Resource:
    [found] = rendered.of("SparkApplication")
    return found


def test_the_driver_may_manage_executors_and_no_volume_claim_service_or_secret() -> None:
    [role] = [one for one in render().of("Role") if one["metadata"]["name"].endswith("-stream")]
    rights = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert rights == {
        "pods": {"get", "list", "watch", "create", "patch", "delete", "deletecollection"},
        "configmaps": {"list", "create", "delete", "deletecollection"},
    }


def test_the_driver_uses_no_right_that_it_does_not_have() -> None:
    conf = application(render())["spec"]["sparkConf"]
    assert conf["spark.kubernetes.driver.ownPersistentVolumeClaim"] == "false"
    assert conf["spark.kubernetes.driver.reusePersistentVolumeClaim"] == "false"
    assert conf["spark.kubernetes.driver.service.deleteOnTermination"] == "false"


@pytest.mark.parametrize("profile", OPERATOR)
def test_driver_and_executors_authenticate_and_encrypt_with_a_secret_that_is_only_in_a_secret(profile: str) -> None:
    rendered = render(profile)
    conf = application(rendered)["spec"]["sparkConf"]
    assert conf["spark.authenticate"] == conf["spark.network.crypto.enabled"] == "true"
    assert conf["spark.authenticate.secret.file"] == SECRET_FILE
    [made] = [one for one in generated_secrets(rendered) if one["name"] == "insights-user-insights-stream-spark"]
    assert made["generate"] == {"secret": "password"}
    assert "values" not in made
    for pod in (pod for pod in pods(rendered) if pod.owner.startswith("SparkApplication/")):
        [volume] = [one for one in pod.spec["volumes"] if one.get("secret", {}).get("secretName") == made["name"]]
        assert volume["secret"]["items"] == [{"key": "secret", "path": "secret"}]
        [container] = [one for one in pod.containers() if one.name == "spark"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container.spec["volumeMounts"]}
        assert f"{mounted[volume['name']]}/secret" == SECRET_FILE


def test_an_existing_secret_takes_the_place_of_the_generated_one() -> None:
    rendered = render(overlaid(values_of("kind"), {"stream": {"existingSecret": "ours"}}))
    names = {one.get("secret", {}).get("secretName") for one in application(rendered)["spec"]["volumes"]}
    assert "ours" in names
    assert not [one for one in generated_secrets(rendered) if one["name"].endswith("-stream-spark")]


def test_a_single_pod_needs_no_secret_between_its_processes() -> None:
    assert not [one for one in generated_secrets(render("small")) if one["name"].endswith("-stream-spark")]


@pytest.mark.parametrize(
    ("checkpoint", "region"),
    [
        ({}, None),
        ({"region": "eu-central-1"}, "eu-central-1"),
        ({"endpointURL": "http://s3.store.svc:7070"}, "us-east-1"),
        ({"endpointURL": "https://s3.fr-par.scw.cloud", "region": "fr-par"}, "fr-par"),
    ],
)
def test_requests_for_the_checkpoint_are_signed_for_its_region(checkpoint: dict[str, str], region: str | None) -> None:
    values = {"stream": {"checkpoint": checkpoint | {"uri": "s3a://bucket/users", "existingSecret": "s"}}}
    conf = application(render(overlaid(values_of("defaults"), values)))["spec"]["sparkConf"]
    assert conf.get("spark.hadoop.fs.s3a.endpoint.region") == region
    assert conf.get("spark.hadoop.fs.s3a.endpoint") == checkpoint.get("endpointURL")


def test_a_single_pod_takes_the_same_properties_as_the_operator() -> None:
    values = {
        "checkpoint": {"uri": "s3a://bucket/users", "existingSecret": "s", "endpointURL": "http://s3.store.svc:7070"},
        "sparkConf": {"spark.sql.session.timeZone": "UTC", "spark.app.name": "it's $(HOME) here"},
    }
    [deployment] = [
        one
        for one in render(overlaid(values_of("small"), {"stream": values})).of("Deployment")
        if one["metadata"]["name"].endswith("-stream")
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    [text] = [one["value"] for one in container["env"] if one["name"] == "PYSPARK_SUBMIT_ARGS"]
    *pairs, shell = shlex.split(text.replace("$$(", "$("))
    assert shell == "pyspark-shell"
    assert set(pairs[::2]) == {"--conf"}
    assert dict(pair.split("=", 1) for pair in pairs[1::2]) == values["sparkConf"] | {
        "spark.hadoop.fs.s3a.endpoint": "http://s3.store.svc:7070",
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }


def test_the_operators_retry_interval_grows_as_slowly_as_it_can() -> None:
    """The operator waits for the interval times the number of attempts; its definition allows no interval below 1."""
    policy = application(render())["spec"]["restartPolicy"]
    assert policy == {"type": "Always", "onFailureRetryInterval": 1, "onSubmissionFailureRetryInterval": 1}


def test_failures_of_executors_are_forgotten_and_do_not_add_up_over_the_life_of_the_stream() -> None:
    conf = application(render())["spec"]["sparkConf"]
    assert conf["spark.executor.failuresValidityInterval"] == "10m"
    assert int(conf["spark.executor.maxNumFailures"]) == 10


def test_a_property_of_the_values_takes_precedence() -> None:
    own = {"stream": {"sparkConf": {"spark.executor.maxNumFailures": "3"}}}
    conf = application(render(overlaid(values_of("defaults"), own)))["spec"]["sparkConf"]
    assert conf["spark.executor.maxNumFailures"] == "3"


@pytest.mark.parametrize("profile", ["kind", "small"])
def test_a_terminated_driver_has_time_to_finish_its_micro_batch(profile: str) -> None:
    rendered = render(profile)
    if rendered.of("SparkApplication"):
        assert application(rendered)["spec"]["driver"]["terminationGracePeriodSeconds"] >= 60
    else:
        [stream] = [pod for pod in pods(rendered) if pod.owner.endswith("-stream")]
        assert stream.spec["terminationGracePeriodSeconds"] >= 60
