"""`python -m tests.fault.mutations [NAME ...]`: switch each protection off, and see whether its test fails.

Each change is made in a temporary copy of this tree. Exits with 1 if a test passes without the protection.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fault.mutations.catalogue import MUTATIONS, Mutation
from tests.helpers.support import REPOSITORY

TEST_SECONDS = 600
PYTEST_FAILED = 1


def main() -> int:
    chosen = [mutation for mutation in MUTATIONS if not sys.argv[1:] or mutation.name in sys.argv[1:]]
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(tree)
        for mutation in chosen:
            started = time.monotonic()
            verdict = run_mutated(tree, mutation)
            print(f"{mutation.name:22} {verdict:9} {time.monotonic() - started:5.0f} s  {mutation.test}", flush=True)
            if verdict != "red":
                survivors.append(mutation.name)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} protections are tested", end="")
    print(f"; not: {', '.join(survivors)}" if survivors else "")
    return 1 if survivors else 0


def copy_tree(tree: Path) -> None:
    """Copy the files that Git knows, as they are now, and link the environment."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        target = tree / name
        if (REPOSITORY / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target)
    (tree / ".venv").symlink_to((REPOSITORY / ".venv").resolve())


def run_mutated(tree: Path, mutation: Mutation) -> str:
    """Run the mutation's test with the mutation in place: `red`, `survived`, or `broken` if no test has failed."""
    path = tree / mutation.path
    original = path.read_text()
    path.write_text(apply_mutation(original, mutation))
    try:
        result = subprocess.run(
            [".venv/bin/python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.test],
            cwd=tree,
            capture_output=True,
            text=True,
            timeout=TEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "broken"
    finally:
        path.write_text(original)
    if result.returncode == 0:
        return "survived"
    failed = result.returncode == PYTEST_FAILED and "\nFAILED " in result.stdout
    return "red" if failed else "broken"


def apply_mutation(text: str, mutation: Mutation) -> str:
    """The text without the protection.

    Raises:
        ValueError: the text to replace does not occur exactly once.
    """
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name}: its text occurs {text.count(mutation.old)} times in {mutation.path}")
    return text.replace(mutation.old, mutation.new)


if __name__ == "__main__":
    sys.exit(main())
