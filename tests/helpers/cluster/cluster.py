"""The cluster that the tests run on: that of `KUBECONFIG`, or one created for them and deleted afterwards."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.cluster.kubectl import reachable, run
from tests.helpers.support import REPOSITORY

MAKER = REPOSITORY.parent / "shared" / "kind-offline" / "up"
NAME = "user-insights-ci"
_MAKE = 'made=$("$0" "$1" kind-config.yaml) && eval "$made" && printf "%s\\n" "$PATH" "$KUBECONFIG"'


def available() -> bool:
    return reachable() or MAKER.exists()


@contextmanager
def cluster() -> Iterator[None]:
    """Provide `kubectl` and `helm` on PATH and a cluster that answers; skip the tests if none can be created."""
    if reachable():
        yield
        return
    done = subprocess.run(
        ["bash", "-c", _MAKE, MAKER, NAME], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"{MAKER} created no cluster: {done.stderr.strip()[-300:]}")
    os.environ["PATH"], os.environ["KUBECONFIG"] = done.stdout.splitlines()[-2:]
    try:
        yield
    finally:
        run("kind", "delete", "cluster", "--name", NAME, check=False)
