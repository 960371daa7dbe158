"""Objects that repeat a key keep every member."""

import json

from insights.model.raw_json import has_repeated_keys, make_object

REPEATED = '{"a":1,"b":{"c":2},"a":{"d":[{"e":3,"e":4}]}}'


def test_an_object_that_repeats_a_key_is_written_as_it_was_read():
    document = json.loads(REPEATED, object_pairs_hook=make_object)
    assert json.dumps(document, separators=(",", ":")) == REPEATED
    assert document["b"] == {"c": 2}


def test_a_repeated_key_is_found_at_any_level():
    for text, repeated in ((REPEATED, True), ('[{"a":{"b":1,"b":1}}]', True), ('{"a":1,"A":{"a":[1]}}', False)):
        assert has_repeated_keys(json.loads(text, object_pairs_hook=make_object)) is repeated
