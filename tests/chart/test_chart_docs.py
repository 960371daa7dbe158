"""values.schema.json and the README's table match values.yaml."""

import json
from pathlib import Path

import pytest

from scripts.chart_docs import CHART, ChartError, build_schema, generate, main, read_values, render_table

VALUES = """\
# -- Name of it,
# in two lines.
# * `a` - the first | or not
name: a
group:
  # -- How many.
  # @schema: {"minimum": 1}
  count: 1
  # -- Labels.
  labels: {}
  # -- Rows.
  # @schema: {"items": {"type": "object"}}
  rows: []
  # -- Memory.
  resources: {requests: {cpu: 1}}
  # -- Properties.
  # @schema: {"additionalProperties": {"type": "string"}}
  properties: {a.b: c}
"""


def make_chart(folder: Path, values: str) -> Path:
    (folder / "values.yaml").write_text(values)
    (folder / "README.md").write_text("before\n<!-- values -->\nold\n<!-- /values -->\nafter\n")
    return folder


def test_the_schema_and_the_table_of_the_chart_are_up_to_date() -> None:
    for path, text in generate(CHART).items():
        assert path.read_text() == text, f"{path.name} does not match values.yaml: run `make chart-docs`"


def test_a_schema_has_the_types_of_the_defaults_and_the_keywords_of_the_hints() -> None:
    group = build_schema(read_values(VALUES))["properties"]["group"]["properties"]
    assert group["count"] == {"description": "How many.", "type": "integer", "minimum": 1}
    assert group["labels"]["additionalProperties"] == {"type": "string"}
    assert group["rows"]["items"] == {"type": "object"}
    assert group["properties"]["additionalProperties"] == {"type": "string"}


def test_a_schema_rejects_unknown_keys_in_groups_and_in_resources() -> None:
    group = build_schema(read_values(VALUES))["properties"]["group"]
    assert group["additionalProperties"] is False
    assert group["properties"]["resources"]["additionalProperties"] is False


def test_a_table_has_a_row_for_every_value_and_none_for_groups() -> None:
    keys = [line.split("`")[1] for line in render_table(read_values(VALUES)).splitlines()[2:]]
    assert keys == ["name", "group.count", "group.labels", "group.rows", "group.resources", "group.properties"]


def test_a_table_has_defaults_as_json_and_sentences_of_several_lines() -> None:
    assert '| `name` | `"a"` | Name of it, in two lines. <br>* `a` - the first \\| or not |' in render_table(
        read_values(VALUES)
    )


def test_a_value_without_a_comment_is_rejected_by_name() -> None:
    with pytest.raises(ChartError, match=r"^b has no comment"):
        render_table(read_values("# -- One.\na: 1\n\nb: 2\n"))


def test_a_null_without_a_type_is_rejected_by_name() -> None:
    with pytest.raises(ChartError, match=r"^a is null: give its type"):
        build_schema(read_values("# -- One.\na:\n"))
    hinted = build_schema(read_values('# -- One.\n# @schema: {"type": ["string", "null"]}\na:\n'))
    assert hinted["properties"]["a"]["type"] == ["string", "null"]


def test_a_hint_that_is_not_a_json_object_is_rejected_by_name() -> None:
    with pytest.raises(ChartError, match=r"@schema: of a is \{enum: 1\}"):
        read_values("# -- One.\n# @schema: {enum: 1}\na: 1\n")


def test_only_the_text_between_the_markers_is_replaced(tmp_path: Path) -> None:
    chart = make_chart(tmp_path, "# -- One.\na: 1\n")
    main(["--chart", str(chart)])
    readme = (chart / "README.md").read_text()
    assert readme.startswith("before\n<!-- values -->\n| Value |")
    assert readme.endswith("| `a` | `1` | One. |\n<!-- /values -->\nafter\n")
    assert json.loads((chart / "values.schema.json").read_text())["properties"]["a"]["type"] == "integer"


def test_a_readme_without_markers_is_rejected(tmp_path: Path) -> None:
    make_chart(tmp_path, "# -- One.\na: 1\n")
    (tmp_path / "README.md").write_text("nothing\n")
    with pytest.raises(SystemExit, match="README has no lines <!-- values -->"):
        main(["--chart", str(tmp_path)])


def test_a_check_fails_on_outdated_files_and_writes_nothing(tmp_path: Path) -> None:
    chart = make_chart(tmp_path, "# -- One.\na: 1\n")
    with pytest.raises(SystemExit, match=r"values\.schema\.json, README\.md does not match values\.yaml"):
        main(["--chart", str(chart), "--check"])
    assert not (chart / "values.schema.json").exists()
    main(["--chart", str(chart)])
    main(["--chart", str(chart), "--check"])
