"""Results are summarised over their rounds, kept as JSON and rendered into the page; every leg of the folder is run."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.common import entry, report, results
from benchmarks.common.rounds import Turn
from tests.helpers.support import REPOSITORY

OWN = [Turn(2.0, {"PostgreSQL": 1.0, "client": 3.0}, 1000, {"PostgreSQL": 2**20, "total": 2**20}), Turn(4.0, {}, 1000)]
PEER = [Turn(1.0, {"client": 0.5}, 1000, figures={"p99 (s)": 0.25})]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    result = results.Result(
        "chain", "The chain", "How.", "records", "all was compared", [results.Case("", {"own": OWN, "peer": PEER})], []
    )
    results.save(result, tmp_path)
    return tmp_path


def test_every_leg_of_the_folder_is_run_with_sizes_that_it_accepts_and_has_a_place_on_the_page():
    legs = {path.stem for path in Path(bench.__file__).parent.glob("[a-z]*.py")}
    assert set(bench.SMALL) == legs >= set(bench.FULL)
    assert set(report.LEGS) == legs


def test_the_benchmarks_import_no_test():
    files = Path(bench.__file__).parent.rglob("*.py")
    assert [file.name for file in files if re.search(r"^\s*(from|import) tests\b", file.read_text(), re.M)] == []


def test_a_leg_that_fails_fails_the_run_after_the_others(monkeypatch, tmp_path, capsys):
    calls: list[tuple[str, list[str]]] = []

    def run_leg(leg: str, arguments: list[str]) -> int:
        calls.append((leg, arguments))
        return int(leg == "ingest")

    monkeypatch.setattr(bench, "run_leg", run_leg)
    assert bench.main(["--small", "--only", "ingest", "chain", "--results", str(tmp_path)]) == 1
    assert calls == [(leg, [*bench.SMALL[leg], "--results", str(tmp_path)]) for leg in ("ingest", "chain")]
    assert "ingest failed" in capsys.readouterr().err
    assert bench.main(["--only", "chain", "--results", str(tmp_path)]) == 0
    assert calls[-1] == ("chain", ["--peers", "--results", str(tmp_path)])


def test_a_result_has_the_spread_of_the_rate_and_of_each_components_cost(folder):
    document = json.loads((folder / "chain.json").read_text())
    own, peer = document["cases"][0]["contenders"]
    assert own["rate"] == {"min": 250, "median": 375, "max": 500}
    assert own["cpu_seconds_per_million"] == {
        "PostgreSQL": {"min": 0, "median": 500, "max": 1000},
        "client": {"min": 0, "median": 1500, "max": 3000},
    }
    assert own["total_cpu_seconds_per_million"] == {"min": 0, "median": 2000, "max": 4000}
    assert own["peak_bytes"] == {"PostgreSQL": 2**20, "total": 2**20}
    assert peer["figures"] == {"p99 (s)": {"min": 0.25, "median": 0.25, "max": 0.25}}
    assert [turn["seconds"] for turn in own["rounds"]] == [2.0, 4.0]
    assert {"cores", "memory_bytes", "processor", "system", "load"} == set(document["machine"])
    assert {"Kafka", "Cassandra", "PostgreSQL", "pyspark", "Python"} <= set(document["versions"])


def test_the_page_has_a_table_for_each_result_with_its_command(folder):
    page = report.render_page(folder)
    assert "## The chain\n\nHow.\n" in page
    assert "| Contender | Records/s | CPU-s/M | Peak memory (MiB) | p99 (s) |" in page
    assert "| own | 375 (250–500) | 2,000 (0–4,000) | 1 |  |" in page
    assert "| peer | 1,000 | 500 |  | 0.25 |" in page
    assert "| own | PostgreSQL | 500 (0–1,000) | 1 |" in page
    assert "```shell\npython -m benchmarks.chain\n```" in page
    assert "Before a figure counted, all was compared." in page


def test_the_page_of_the_documentation_is_the_one_that_the_kept_results_give():
    assert report.PAGE.read_text() == report.render_page(), "run `python -m benchmarks report`"


def test_every_kept_result_has_the_schema_and_the_command_of_its_leg():
    for file in sorted(results.RESULTS.glob("*.json")):
        document = report.read_result(file)
        assert document["schema"] == results.SCHEMA
        assert document["command"].startswith(f"python -m benchmarks.{file.stem}")
        assert str(REPOSITORY) not in file.read_text()


def test_the_command_of_a_result_has_the_options_that_differ_from_their_defaults():
    parser = entry.make_parser("A leg.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--connector", action="store_true")
    parser.add_argument("--pages", nargs="+", default=["a"])
    given = ["--warm-up", "20", "--connector", "--pages", "a", "b"]
    options = parser.parse_args([*given, "--rounds", "5", "--results", "folder"])
    assert entry.list_arguments(parser, options) == given
