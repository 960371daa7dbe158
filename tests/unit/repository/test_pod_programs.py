"""The programs that the cluster tests run inside a pod are text, which no type checker or linter checks there."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.helpers.cluster.release import LEDGER_PROGRAM, REDRIVE_PROGRAM

each_program = pytest.mark.parametrize("program", [LEDGER_PROGRAM, REDRIVE_PROGRAM], ids=["ledger", "redrive"])


@each_program
def test_a_program_imports_names_that_exist(program: str) -> None:
    imports = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = import_module(node.module or "")
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@each_program
def test_a_program_uses_no_undefined_name(program: str) -> None:
    ruff = str(Path(sys.executable).with_name("ruff"))
    command = [ruff, "check", "--isolated", "--select", "F", "--stdin-filename", "program.py", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
