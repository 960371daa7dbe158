"""Every mutation of the fault tests still applies to the code, its test exists, and the document lists it.

If a test here fails after a change of yours, change the mutation in `tests/fault/mutations/catalogue.py` with it.
"""

import ast
import re

import pytest

from tests.fault.mutations.__main__ import apply_mutation
from tests.fault.mutations.catalogue import MUTATIONS, Mutation
from tests.helpers.support import REPOSITORY

names = [mutation.name for mutation in MUTATIONS]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=names)
def test_a_mutation_changes_one_place_and_leaves_valid_python(mutation: Mutation) -> None:
    text = (REPOSITORY / mutation.path).read_text()
    mutated = apply_mutation(text, mutation)
    assert mutated != text
    if mutation.path.endswith(".py"):
        ast.parse(mutated)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=names)
def test_the_test_of_a_mutation_exists(mutation: Mutation) -> None:
    path, _, test = mutation.test.partition("::")
    functions = {
        node.name for node in ast.parse((REPOSITORY / path).read_text()).body if isinstance(node, ast.FunctionDef)
    }
    assert not test or test in functions


def test_mutations_have_names_of_their_own() -> None:
    assert len(set(names)) == len(names)


def test_every_protection_is_listed_with_its_test() -> None:
    section = (REPOSITORY / "docs" / "reliability.md").read_text().split("\n## Protections\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(.+?)` \| (.+) \| (.+) \|$", section, re.MULTILINE)
    listed = [(name, protects, tuple(re.findall("`([^`]+)`", test))) for name, protects, test in rows]
    assert listed == [(m.name, m.protects, tuple(filter(None, m.test.split("::")))) for m in MUTATIONS]
