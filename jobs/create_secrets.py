"""Create the Secrets listed in a file in this pod's namespace; existing ones are left unchanged."""

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

from insights import entrypoint
from insights.clients.kubernetes_secrets import create_secrets, open_secret_store, read_plans, read_requirement


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path, nargs="?", metavar="FILE", help="YAML or JSON list of Secrets")
    parser.add_argument(
        "--require", action="append", default=[], metavar="NAME:KEY", help="a Secret that must exist; may be repeated"
    )
    options = parser.parse_args()
    return entrypoint.run(
        partial(_create_missing, options.plans, options.require),
        quiet={"urllib3": logging.ERROR},
    )


def _create_missing(file: Path | None, requirements: list[str]) -> None:
    plans = read_plans(file) if file else []
    required = [read_requirement(text) for text in requirements]
    for name in create_secrets(open_secret_store(), plans, required):
        logging.info("created Secret %s", name)


if __name__ == "__main__":
    sys.exit(main())
