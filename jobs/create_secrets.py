"""Create the Secrets that a file lists and that are absent, in this pod's namespace; change none that exists."""

import argparse
import logging
import sys
from pathlib import Path

from insights.clients.kubernetes_secrets import create_secrets, open_secret_store, read_plans, read_requirement
from insights.errors import UserError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plans", type=Path, nargs="?", metavar="FILE", help="YAML or JSON list of Secrets")
    parser.add_argument(
        "--require", action="append", default=[], metavar="NAME:KEY", help="a Secret that must exist; may be repeated"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        plans = read_plans(options.plans) if options.plans else []
        required = [read_requirement(text) for text in options.require]
        for name in create_secrets(open_secret_store(), plans, required):
            logging.info("created Secret %s", name)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
