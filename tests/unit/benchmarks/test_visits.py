"""The benchmark of the dashboard: its users, its visitor, its recorded requests and its report, without servers."""

import asyncio
import json
from collections import Counter
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from cassandra.protocol import ExecuteMessage, OptionsMessage, PrepareMessage
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks import dashboard
from benchmarks.common import population
from benchmarks.visits import record_requests, stores
from benchmarks.visits.visitor import Visitor
from insights.model.schema import CASSANDRA_TABLES
from insights.model.user import DIMENSIONS
from insights.settings import CassandraSettings
from insights.sinks.user_tables import add_derived_columns
from tests.helpers.dimension_oracle import value
from tests.helpers.support import REPOSITORY


def test_the_counts_are_those_of_the_rows_that_are_written():
    rows = [
        row | {"registered_year": int(row["registered_year"])} for row in population.Chunk(0, 2000).rows().to_pylist()
    ]
    assert population.count_users(2000) == {
        name: dict(Counter(value(row, name) for row in rows)) for name in DIMENSIONS
    }
    assert {f"{row['registered_at']:%Y-%m}" == row["registered_month"] for row in rows} == {True}
    assert len({row["user_id"] for row in rows}) == 2000


def test_the_rows_have_every_column_of_the_tables_by_country_and_by_month():
    columns = set(add_derived_columns(population.Chunk(0, 1).rows()).column_names)
    for name in ("user_summaries_by_country", "user_summaries_by_month"):
        assert set(CASSANDRA_TABLES[name][1]) - columns == set()


def test_a_larger_population_begins_with_the_same_users():
    assert population.Chunk(0, 50).rows() == population.Chunk(0, 500).rows().slice(0, 50)
    assert [(part.first, part.count) for part in population.generate_chunks(250_000, 100_000)] == [
        (100_000, 100_000),
        (200_000, 50_000),
    ]


def test_users_that_are_in_the_store_are_not_written_again(monkeypatch, tmp_path):
    written: list[tuple[int, int]] = []
    monkeypatch.setattr("insights.clients.connections.open_cassandra", lambda _: nullcontext())
    monkeypatch.setattr(stores, "make_writer", lambda _: None)
    monkeypatch.setattr(stores, "write_chunk", lambda _, chunk: written.append((chunk.first, chunk.count)))
    progress = tmp_path / "users.json"
    assert stores.fill_users(CassandraSettings(), progress, 150_000) == 150_000
    assert stores.fill_users(CassandraSettings(), progress, 1000) == 150_000
    assert stores.fill_users(CassandraSettings(), progress, 200_000) == 200_000
    assert written == [(0, 100_000), (100_000, 50_000), (100_000, 100_000)]


class Socket:
    """A dashboard that answers every request with the same messages."""

    def __init__(self, *messages: ForwardMsg) -> None:
        self.requests: list[BackMsg] = []
        self._messages = messages

    async def send(self, data: bytes) -> None:
        self.requests.append(BackMsg.FromString(data))

    async def __aiter__(self):
        for message in self._messages:
            yield message.SerializeToString()


def message(**fields) -> ForwardMsg:
    return ForwardMsg(hash="a", **fields)


def element(**fields) -> ForwardMsg:
    return message(delta={"new_element": fields}, metadata={"cacheable": True})


FINISHED = message(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)


def test_a_visitor_reruns_the_shown_page_and_names_the_messages_that_it_has_cached():
    socket = Socket(
        message(navigation={"page_script_hash": "p1"}),
        message(auto_rerun={"interval": 3, "fragment_id": "f"}),
        message(script_finished=ForwardMsg.FINISHED_EARLY_FOR_RERUN),
        element(plotly_chart={"spec": "{}"}),
        element(heading={"body": "Users"}),
        FINISHED,
    )

    async def visit() -> Visitor:
        visitor = Visitor(socket, "Flow", 0.0)
        run = await visitor.render()
        assert run.figures == 1
        assert run.received == sum(part.ByteSize() for part in socket._messages)
        await visitor.rerun("f")
        return visitor

    assert asyncio.run(visit()).fragments == {"f": 3}
    first, live = (request.rerun_script for request in socket.requests)
    assert (first.page_name, first.page_script_hash, first.fragment_id, first.is_auto_rerun) == ("Flow", "", "", False)
    assert (live.page_script_hash, live.fragment_id, live.is_auto_rerun) == ("p1", "f", True)
    assert list(live.cached_message_hashes) == ["a"]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([element(exception={"type": "KeyError", "message": "'x'"}), FINISHED], "shows KeyError"),
        ([element(alert={"body": "Kafka does not answer."}), FINISHED], "says: Kafka does not answer"),
        ([], "closed the connection"),
    ],
)
def test_a_page_that_shows_an_error_ends_the_benchmark(messages, error):
    with pytest.raises(RuntimeError, match=error):
        asyncio.run(Visitor(Socket(*messages), "", 0.0).render())


def test_requests_are_recorded_with_the_rows_of_their_answers_before_these_are_used(monkeypatch, tmp_path):
    file, answers = tmp_path / "requests", []

    class Connection:
        def send_msg(self, message, request_id, cb, **options):
            rows = [1, 2, 3] if isinstance(message, ExecuteMessage) else None
            cb(SimpleNamespace(parsed_rows=rows, request_id=request_id, options=options))

    monkeypatch.setattr(record_requests, "Connection", Connection)
    record_requests.record_requests(file)
    for sent in (OptionsMessage(), PrepareMessage("SELECT"), ExecuteMessage(b"1", [], 1)):
        Connection().send_msg(sent, 7, cb=lambda response: answers.append((response.request_id, response.options)), a=1)
    assert file.read_text() == "prepare 0\nexecute 3\n"
    assert answers == [(7, {"a": 1})] * 3


def make_figures(**changes) -> dict:
    page = {"cold": [2.0, 2.5], "first kept": [0.3], "first read": [0.5, 0.4, 0.6], "cpu kept": 0.02, "cpu read": 0.03}
    page |= {"again kept": [0.1] * 20, "again read": [0.1] * 19 + [0.9], "live kept": [], "live read": []}
    return page | {"requests": 6, "requests at first": 12, "rows": 1000, "received": 123_400, "figures": 4} | changes


def test_the_report_has_a_table_of_the_pages_and_one_of_the_crowd():
    wave = {"first": [1.0, 2.0], "live": [0.1] * 60, "due": 3.0, "cores": 0.5, "rss": 2**28}
    result = {
        "users": 1000,
        "pages": {"Flow": make_figures()},
        "crowd": {"visitors": 2, "rss before": 2**27, "waves": [wave]},
    }
    output = dashboard.format_result(json.loads(json.dumps(result)))
    assert "| Flow | 2,000 / 2,250 / 2,500 | 300 / 300 / 300 | 400 / 500 / 600 | 100 / 100 / 100 |" in output
    assert "| 100 / 100 / 900 | – | 20, 30 | 6 | 1,000 | 123 |" in output
    assert "| 1 | 1,000 / 2,000 / 2,000 | 100 / 100 / 100 | 3.0, 2.0 | 0.50 | 256 |" in output
    assert output.endswith("Every goal is met.")


def test_a_missed_goal_is_named():
    slow = make_figures(cold=[1.0, 3.5], **{"again kept": [0.1] * 18 + [0.25] * 2, "requests at first": 61})
    assert dashboard.list_missed_goals({"Flow": slow, "Topics": make_figures()}) == [
        "Flow: cold 3.5, goal 3",
        "Flow: again 0.25, goal 0.2",
        "Flow: requests 61, goal 60",
    ]


def test_every_page_of_the_dashboard_is_visited_at_its_address():
    home = (REPOSITORY / "dashboard/app.py").read_text()
    assert {name for name, path in dashboard.PAGES.items() if not path} == {"Overview"}
    for name, path in dashboard.PAGES.items():
        assert f'title="{name}"' in home
        assert not path or f"views/{path}.py" in home
