"""Write the chart's values.schema.json and the README's table of values from values.yaml and its comments.

Each value is preceded by `# -- Its description.`; further comment lines continue the description. A line
`# @schema: {...}` adds JSON Schema keywords to those derived from the default. With `--check`, nothing is written and
the exit code is 1 if a file is out of date.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parents[1] / "charts" / "user-insights"
BEGIN, END = "<!-- values -->", "<!-- /values -->"
HINT = "@schema:"
QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
RESOURCES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"requests": QUANTITIES, "limits": QUANTITIES},
}


_OBJECTS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
_STRINGS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
PODS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("env", "envFrom", "volumes", "volumeMounts"), _OBJECTS),
        **dict.fromkeys(("tolerations", "topologySpreadConstraints"), _OBJECTS),
        **dict.fromkeys(("labels", "annotations", "nodeSelector"), _STRINGS),
        "affinity": {"type": "object"},
        "priorityClassName": {"type": "string"},
    },
}
"""What `pods` adds to the pods of a component."""


class ChartError(Exception):
    """values.yaml or the README is incomplete; the message names what is missing."""


class Comment(NamedTuple):
    """The comment above a key: its description, and the JSON Schema keywords of its hints."""

    description: str
    hint: dict[str, Any]


@dataclass(frozen=True)
class Value:
    """A key of values.yaml; `children` is None for a value that is set as a whole."""

    path: tuple[str, ...]
    default: Any
    comment: Comment
    children: tuple["Value", ...] | None

    @property
    def key(self) -> str:
        return ".".join(part.replace(".", "\\.") for part in self.path)

    def leaves(self) -> Iterator["Value"]:
        if self.children is None:
            yield self
        for child in self.children or ():
            yield from child.leaves()


def read_values(text: str) -> Value:
    """Return the root of the values.

    Raises:
        ChartError: a hint is not a JSON object.
    """
    lines = text.splitlines()
    return _read_value((), yaml.compose(text, Loader=yaml.SafeLoader), Comment("", {}), lines)


def _read_value(path: tuple[str, ...], node: yaml.Node, comment: Comment, lines: list[str]) -> Value:
    default = yaml.constructor.SafeConstructor().construct_document(node)
    whole = not default or _is_resources(path) or "additionalProperties" in comment.hint
    if not isinstance(node, yaml.MappingNode) or whole:
        return Value(path, default, comment, None)
    children = []
    for key, child in node.value:
        child_path = (*path, key.value)
        children.append(_read_value(child_path, child, _read_comment(child_path, lines, key.start_mark.line), lines))
    return Value(path, default, comment, tuple(children))


def _read_comment(path: tuple[str, ...], lines: list[str], line: int) -> Comment:
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    sentence: list[str] = []
    hint: dict[str, Any] = {}
    for raw in lines[first:line]:
        text = raw.strip().removeprefix("#").strip()
        if text.startswith(HINT):
            hint |= _read_hint(path, text.removeprefix(HINT))
        elif text.startswith("-- "):
            sentence = [text.removeprefix("-- ")]
        elif sentence:
            sentence.append(f"<br>{text}" if text.startswith("* ") else text)
    return Comment(" ".join(sentence), hint)


def _read_hint(path: tuple[str, ...], text: str) -> dict[str, Any]:
    try:
        hint = json.loads(text)
    except ValueError:
        hint = None
    if not isinstance(hint, dict):
        raise ChartError(f"The {HINT} of {'.'.join(path)} is {text.strip()}: it must be a single JSON object.")
    return hint


def _is_resources(path: tuple[str, ...]) -> bool:
    return bool(path) and path[-1].lower().endswith("resources")


def build_schema(value: Value) -> dict[str, Any]:
    """Return the JSON Schema of a value, which allows unknown keys only where a hint does.

    Raises:
        ChartError: a default is null and no hint gives its type.
    """
    if value.children is None:
        described = {"description": value.comment.description.replace("<br>", "")} if value.comment.description else {}
        return described | _build_type(value)
    properties = {child.path[-1]: build_schema(child) for child in value.children}
    return {"type": "object", "additionalProperties": False, "properties": properties} | value.comment.hint


def _build_type(value: Value) -> dict[str, Any]:
    hint = value.comment.hint
    if _is_resources(value.path):
        return RESOURCES
    if value.path[0] == "pods":
        return PODS
    match value.default:
        case bool():
            return {"type": "boolean"} | hint
        case int():
            return {"type": "integer"} | hint
        case float():
            return {"type": "number"} | hint
        case str():
            return {"type": "string"} | hint
        case list():
            return {"type": "array", "items": {"type": "string"}} | hint
        case dict():
            return {"type": "object", "additionalProperties": {"type": "string"}} | hint
    if "type" not in hint:
        raise ChartError(f'{value.key} is null: give its type above it, `# {HINT} {{"type": ["string", "null"]}}`.')
    return hint


def render_schema(root: Value) -> str:
    """Return the chart's values.schema.json. Helm passes `global` to a subchart."""
    header = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of user-insights"}
    document = header | build_schema(root)
    document["properties"] = document["properties"] | {"global": {"type": "object"}}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def render_table(root: Value) -> str:
    """Return the values as a Markdown table.

    Raises:
        ChartError: a value has no comment.
    """
    rows = ["| Value | Default | Description |", "| --- | --- | --- |"]
    for leaf in root.leaves():
        if not leaf.comment.description:
            raise ChartError(f"{leaf.key} has no comment: write `# -- Its description.` above it.")
        default = json.dumps(leaf.default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{leaf.key}` | `{default}` | {leaf.comment.description.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def render_readme(readme: str, root: Value) -> str:
    """Return the README with the table of values between its markers.

    Raises:
        ChartError: the README has no markers.
    """
    parts = re.split(f"{BEGIN}\n.*?{END}", readme, flags=re.DOTALL)
    if len(parts) != 2:
        raise ChartError(f"The chart's README has no lines {BEGIN} and {END}: put them where the table belongs.")
    return f"{parts[0]}{BEGIN}\n{render_table(root)}{END}{parts[1]}"


def generate(chart: Path) -> dict[Path, str]:
    """Return the text of each generated file.

    Raises:
        ChartError: values.yaml or the README is incomplete.
    """
    root = read_values((chart / "values.yaml").read_text())
    readme = chart / "README.md"
    return {
        chart / "values.schema.json": render_schema(root),
        readme: render_readme(readme.read_text() if readme.exists() else "", root),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    parser.add_argument("--chart", type=Path, default=CHART, help="folder of the chart")
    options = parser.parse_args(arguments)
    try:
        files = generate(options.chart)
    except ChartError as error:
        sys.exit(f"error: {error}")
    write_files(files, "values.yaml", check=options.check)


def write_files(files: Mapping[Path, str], source: str, *, check: bool) -> None:
    """Write the files that are out of date; with `check`, write none, and exit with a sentence if there are any."""
    stale = {path: text for path, text in files.items() if not path.exists() or path.read_text() != text}
    if check and stale:
        sys.exit(f"error: {', '.join(path.name for path in stale)} does not match {source}: run `make chart-docs`.")
    for path, text in stale.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
