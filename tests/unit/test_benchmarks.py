from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import cassandra_writer


def test_every_benchmark_of_the_folder_is_run_with_its_arguments(monkeypatch, capsys):
    ran: list[list[str]] = []
    runs = {title: (run.__module__, arguments) for title, (run, arguments) in bench.BENCHMARKS.items()}
    for title, (_, arguments) in runs.items():
        monkeypatch.setitem(bench.BENCHMARKS, title, (ran.append, arguments))
    bench.main()
    folder = Path(bench.__file__).parent
    assert {module for module, _ in runs.values()} == {f"benchmarks.{path.stem}" for path in folder.glob("[a-z]*.py")}
    assert ran == [arguments for _, arguments in runs.values()]
    shown = capsys.readouterr().out
    assert [title for title in runs if title not in shown] == []


def test_the_writers_figures_are_a_table_with_the_ratio_of_each_round():
    measured = {"writer": [20.0, 30.0], "execute_concurrent": [10.0, 10.0], "columns": 3}
    lines = cassandra_writer.text({"rows": 2, "rounds": 2, "tables": {"users_by_id": measured}}).splitlines()
    assert lines[1] == "users_by_id, 3 columns"
    assert lines[-1].split() == ["ratio", "2.00", "2.50", "3.00"]


def test_an_argument_that_is_no_number_is_refused():
    with pytest.raises(SystemExit):
        cassandra_writer.main(["--rows", "many"])
