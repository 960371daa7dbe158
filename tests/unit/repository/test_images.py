"""Rules for every Dockerfile: it builds with any builder, from locks with hashes, and runs as a numeric user."""

import base64
import os
import re
import signal
import subprocess

import pytest

from insights.local.jars import IMAGE_LOCK, IMAGE_ROOTS, read_lock
from insights.local.package import find_package_directory
from tests.helpers.support import REPOSITORY, eventually

IMAGES = {"airflow": "airflow", "dashboard": "dashboard", "publisher": "publisher", "spark": "stream"}
ENTRYPOINT = REPOSITORY / "images/spark/entrypoint.sh"

each_image = pytest.mark.parametrize("image", sorted(IMAGES))


def instructions(image: str) -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions in order, as (keyword, the rest on one line)."""
    text = (REPOSITORY / "images" / image / "Dockerfile").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [
        (keyword, " ".join(rest.split())) for keyword, _, rest in (line.partition(" ") for line in lines) if keyword
    ]


def last_stage(image: str) -> list[tuple[str, str]]:
    found = instructions(image)
    return found[max(index for index, (keyword, _) in enumerate(found) if keyword == "FROM") :]


def test_every_folder_of_images_is_a_known_image():
    assert {path.parent.name for path in REPOSITORY.glob("images/*/Dockerfile")} == set(IMAGES)


@each_image
def test_the_base_is_an_argument_and_no_stage_starts_elsewhere(image):
    found = instructions(image)
    assert found[0] == ("ARG", "BASE_IMAGE=python:3.11-slim-bookworm")
    stages = [rest.split(" AS ") for keyword, rest in found if keyword == "FROM"]
    names = {stage[1] for stage in stages if len(stage) == 2}
    assert {stage[0] for stage in stages} <= names | {"${BASE_IMAGE}"}


@each_image
def test_the_only_user_is_numeric_and_unprivileged(image):
    users = [rest for keyword, rest in last_stage(image) if keyword == "USER"]
    assert users == ["185:185" if image == "spark" else "10001:10001"]


@each_image
def test_the_classic_builder_can_build_it(image):
    found = instructions(image)
    assert {keyword for keyword, _ in found} <= {
        "ARG",
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "WORKDIR",
        "USER",
        "CMD",
        "ENTRYPOINT",
    }
    for keyword, rest in found:
        assert "<<" not in rest
        options = [word for word in rest.split() if word.startswith("--")] if keyword == "COPY" else []
        assert all(option.startswith(("--from=", "--chown=")) for option in options)
        assert not (keyword == "RUN" and rest.startswith("--"))


@each_image
def test_every_package_is_checked_against_the_hash_of_its_group(image):
    group = IMAGES[image]
    installs = [rest for keyword, rest in instructions(image) if keyword == "RUN" and "pip" in rest]
    assert len(installs) == 2
    assert installs[0].endswith("--require-hashes -r uv.txt")
    assert re.search(rf"uv pip sync .*--require-hashes {group}\.txt", installs[1])
    lock = (REPOSITORY / "requirements" / f"{group}.txt").read_text()
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+ \\$(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+", lock, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[a-z0-9]", lock, re.MULTILINE)) > 0


@each_image
def test_an_edit_of_the_code_repeats_no_slow_instruction(image):
    found = last_stage(image)
    code = [
        index for index, (keyword, rest) in enumerate(found) if keyword == "COPY" and rest.endswith("insights insights")
    ]
    assert len(code) == 1
    assert {keyword for keyword, _ in found[code[0] + 1 :]} <= {"USER", "CMD", "ENTRYPOINT"}
    before = [rest for keyword, rest in instructions(image)[: -len(found)] if keyword == "COPY"]
    assert not any(re.search(r"\b(insights|dags|jobs|dashboard)( |$)", rest) for rest in before)


@each_image
def test_what_it_copies_is_in_the_repository_and_in_the_build_context(image):
    allowed = [line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for keyword, rest in instructions(image):
        words = [word for word in rest.split() if not word.startswith("--")]
        if keyword != "COPY" or "--from=" in rest:
            continue
        for source in words[:-1]:
            assert (REPOSITORY / source).exists()
            assert source.split("/")[0] in allowed


@each_image
def test_no_file_of_an_image_contains_a_url(image):
    folder = REPOSITORY / "images" / image
    assert not any("://" in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_the_object_store_is_the_one_that_spark_was_built_with():
    assert {(jar.group, jar.organisation, jar.name, jar.version) for jar in read_lock(IMAGE_LOCK)} == {
        (group, root.organisation, root.name, root.version) for group, roots in IMAGE_ROOTS.items() for root in roots
    }
    hadoop = next(root.version for root in IMAGE_ROOTS["object-store"] if root.name == "hadoop-aws")
    assert (find_package_directory("pyspark") / f"jars/hadoop-client-api-{hadoop}.jar").is_file()


@pytest.fixture
def entrypoint(tmp_path):
    """Run the Spark image's entrypoint with stand-ins that print their arguments, one per line."""
    for program in ("java", "bin/spark-submit"):
        path = tmp_path / program
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/bash\nprintf "%s\\n" "${0##*/}" "$@"\nexit ${EXIT:-0}\n')
        path.chmod(0o755)

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SPARK_HOME": str(tmp_path)} | environment
        return subprocess.run(
            [ENTRYPOINT, *arguments], env=variables, capture_output=True, text=True, check=False, timeout=30
        )

    return run


def test_a_driver_is_submitted_in_client_mode_and_its_exit_code_is_the_containers(entrypoint):
    done = entrypoint("driver", "--class", "Main", "local:///a b.py", SPARK_DRIVER_BIND_ADDRESS="10.0.0.7", EXIT="3")
    words = done.stdout.splitlines()
    assert done.returncode == 3
    assert words[:3] == ["spark-submit", "--deploy-mode", "client"]
    assert "spark.driver.bindAddress=10.0.0.7" in words
    assert "spark.executorEnv.SPARK_DRIVER_POD_IP=10.0.0.7" in words
    assert words[-3:] == ["--class", "Main", "local:///a b.py"]


def test_an_executor_gets_each_java_option_whole_and_the_drivers_address(entrypoint, tmp_path):
    variables = {
        "SPARK_JAVA_OPT_0": "-Da=b c",
        "SPARK_JAVA_OPT_1": "-Dspark.driver.port=7078",
        **{f"SPARK_JAVA_OPT_{index}": f"-Dn={index}" for index in range(2, 11)},
        "SPARK_EXECUTOR_MEMORY": "768m",
        "SPARK_CLASSPATH": "/extra/*",
        "SPARK_DRIVER_URL": "spark://driver",
        "SPARK_EXECUTOR_ID": "2",
        "SPARK_EXECUTOR_CORES": "1",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.8",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "pod-2",
    }
    words = entrypoint("executor", **variables).stdout.splitlines()
    assert words[:3] == ["java", "-Da=b c", "-Dspark.driver.port=7078"]
    assert words[3:12] == [f"-Dn={index}" for index in range(2, 11)]
    assert words[12:14] == ["-Xms768m", "-Xmx768m"]
    assert words[words.index("-cp") + 1] == f"{tmp_path}/conf:/extra/*:{tmp_path}/jars/*"
    options = dict(zip(words[17::2], words[18::2], strict=True))
    assert options["--driver-url"] == "spark://driver"
    assert options["--hostname"] == "10.0.0.8"
    assert options["--podName"] == "pod-2"


def test_an_executor_authenticates_itself_with_the_secret_in_the_file(tmp_path):
    """Spark's driver uses the file's content in base64; an executor would read it only with `spark.master` set."""
    (tmp_path / "secret").write_bytes(b"s" * 100)
    java = tmp_path / "java"
    java.write_text('#!/bin/bash\nprintf "%s" "$_SPARK_AUTH_SECRET"\n')
    java.chmod(0o755)
    names = ("MEMORY", "ID", "CORES", "POD_IP", "POD_NAME")
    variables = {f"SPARK_EXECUTOR_{name}": "x" for name in names}
    variables |= {f"SPARK_{name}": "x" for name in ("DRIVER_URL", "APPLICATION_ID", "RESOURCE_PROFILE_ID")}
    variables |= {"SPARK_HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    variables["SPARK_JAVA_OPT_0"] = f"-Dspark.authenticate.secret.file={tmp_path}/secret"
    done = subprocess.run([ENTRYPOINT, "executor"], env=variables, capture_output=True, text=True, check=False)
    assert done.stdout == base64.b64encode(b"s" * 100).decode(), done.stderr


def test_a_variable_that_spark_did_not_set_is_named(entrypoint):
    done = entrypoint("executor", SPARK_EXECUTOR_MEMORY="1g")
    assert done.returncode != 0
    assert "SPARK_DRIVER_URL" in done.stderr


def test_any_other_command_runs_unchanged(entrypoint):
    done = entrypoint("printf", "%s|", "a b", "c")
    assert done.stdout == "a b|c|"


def test_sigterm_reaches_the_python_driver_and_the_jvm_ends_after_it(tmp_path):
    submit = tmp_path / "bin/spark-submit"
    submit.parent.mkdir()
    # Stands in for the JVM: a SIGTERM would kill it; otherwise it ends with its child's exit code.
    submit.write_text(
        """#!/bin/bash
bash -c 'trap "sleep 0.2; echo the batch has ended; exit 0" TERM; touch "$STARTED"; while :; do sleep 0.02; done'
echo "the JVM ends with $?"
"""
    )
    submit.chmod(0o755)
    started = tmp_path / "started"
    variables = {"SPARK_HOME": str(tmp_path), "SPARK_DRIVER_BIND_ADDRESS": "127.0.0.1", "STARTED": str(started)}
    driver = subprocess.Popen(
        [ENTRYPOINT, "driver"], env=os.environ | variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        eventually(started.exists, 20)
        driver.send_signal(signal.SIGTERM)
        said, _ = driver.communicate(timeout=20)
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
    assert said.splitlines() == ["the batch has ended", "the JVM ends with 0"]
    assert driver.returncode == 0
