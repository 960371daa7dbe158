"""Find the files of an installed package."""

from importlib.util import find_spec
from pathlib import Path

from insights.errors import UserError


def find_package_directory(name: str) -> Path:
    """The directory of an installed package, without importing it.

    Raises:
        UserError: the package is not installed.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The Python package {name} is not installed: run `make setup`.")
    return Path(spec.submodule_search_locations[0])
