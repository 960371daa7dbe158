"""Which texts are parsed fast: those that are written again as they were."""

import json

import pytest

from insights.model.canonical_json import encode_canonical, parse_canonical
from tests.helpers.recorded_answers import ANSWERS


@pytest.mark.parametrize("path", sorted(ANSWERS.glob("*.json")), ids=lambda path: path.name)
def test_answers_of_the_api_are_canonical(path):
    body = path.read_bytes()
    document = parse_canonical(body)
    assert document == json.loads(body)
    assert encode_canonical(document) == body


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'[{"b":{"a":1,"c":2,"a":1}}]',
        b"[1e2]",
        b"[1.50]",
        b"[-0]",
        b"[123456789012345678901]",
        b"[0.1234567890123456789]",
        rb'["\u0041"]',
        rb'["\/"]',
        rb'["\ud800"]',
        b'["\xff"]',
        b"[1, 2]",
        b" []",
        b"[NaN]",
        b"[]]",
        b"[" * 300 + b"]" * 300,
        b"[" * 3000 + b"]" * 3000,
        b"",
    ],
)
def test_a_text_that_parsing_would_change_is_refused(text):
    with pytest.raises(ValueError):
        parse_canonical(text)
