"""Recorded answers of the real API: a few in this repository, and many in `../shared` if that folder exists."""

from pathlib import Path

import pytest

from tests.helpers.support import REPOSITORY

ANSWERS = Path(__file__).parent / "answers"
MANY_ANSWERS = REPOSITORY.parent / "shared" / "randomuser"
needs_many_answers = pytest.mark.skipif(
    not MANY_ANSWERS.is_dir(), reason="needs the recorded answers of the API in ../shared/randomuser"
)
