"""The topics: offsets, lag and messages."""

import pytest

from tests.helpers.app_pages import HOSTILE, count_figures, get_metrics, get_table, open_page, read_text
from tests.helpers.fake_stores import TOPIC


def test_a_partition_shows_its_offsets_and_the_lag_of_the_stream():
    app = open_page("topics")
    raw, quarantine = get_table(app, "lag").to_dict("records")
    assert (raw["begin"], raw["end"], raw["messages"], raw["read"], raw["lag"]) == (2, 10, 8, 7, 3)
    assert quarantine["messages"] == 4
    assert quarantine["lag"] != quarantine["lag"]  # Not a number: the stream does not read it.
    assert get_metrics(app)["Lag"] == "3"
    assert count_figures(app) == 1


def test_a_partition_that_the_stream_has_not_read_lags_by_all_its_messages(fakes):
    fakes.stream_offsets = {}
    raw = get_table(open_page("topics"), "lag").to_dict("records")[0]
    assert (raw["read"], raw["lag"]) == (2, 8)


def test_the_topics_are_shown_without_the_lag_while_postgresql_is_down(fakes):
    fakes.down = {"PostgreSQL"}
    app = open_page("topics")
    assert "PostgreSQL does not answer" in read_text(app)
    assert get_metrics(app)["Lag"] == "unknown"
    assert list(get_table(app, "lag")["messages"]) == [8, 4]
    assert count_figures(app) == 0


def test_without_kafka_the_page_says_so_and_keeps_its_last_answers(fakes):
    app = open_page("topics")
    fakes.down = {"Kafka"}
    app.run()
    assert "Stale: Kafka does not answer" in read_text(app)
    assert list(get_table(app, "lag")["messages"]) == [8, 4]
    assert list(get_table(app, "value")["value"]) == [HOSTILE]


def test_a_page_opened_while_kafka_is_down_says_so(fakes):
    fakes.down = {"Kafka"}
    assert "Kafka does not answer, and has not answered since this dashboard started" in read_text(open_page("topics"))


def test_messages_are_paged_to_the_oldest_and_back(fakes):
    app = open_page("topics")
    assert fakes.reads[-1] == (TOPIC, None, (), 10)
    assert app.button(key="newer").disabled
    app.button(key="older").click().run()
    assert fakes.reads[-1] == (TOPIC, None, ((0, 5),), 10)
    assert app.button(key="older").disabled
    app.button(key="newer").click().run()
    assert fakes.reads[-1] == (TOPIC, None, (), 10)


def test_messages_are_shown_from_an_offset_of_a_partition_onwards(fakes):
    app = open_page("topics")
    app.segmented_control(key="kind").set_value("from an offset").run()
    assert "Choose a partition first" in read_text(app)
    app.selectbox(key="partition").select(0).run()
    assert fakes.reads[-1] == (TOPIC, 0, ((0, 12),), 10)
    app.number_input(key="start").set_value(4).run()
    assert fakes.reads[-1] == (TOPIC, 0, ((0, 14),), 10)
    app.button(key="newer").click().run()
    assert fakes.reads[-1] == (TOPIC, 0, ((0, 24),), 10)


def test_another_choice_starts_at_its_newest_page(fakes):
    app = open_page("topics")
    app.button(key="older").click().run()
    app.selectbox(key="limit").select(25).run()
    assert fakes.reads[-1] == (TOPIC, None, (), 25)
    app.button(key="older").click().run()
    app.selectbox(key="topic").select("users.quarantine").run()
    assert fakes.reads[-1] == ("users.quarantine", None, (), 25)


def test_messages_are_searched_by_key(fakes):
    fakes.messages = []
    app = open_page("topics")
    app.segmented_control(key="kind").set_value("with a key").run()
    app.text_input(key="key").set_value(" a key ").run()
    assert fakes.reads[-1] == (TOPIC, None, "a key", 10)
    assert "None of the newest 20,000 messages has this key" in read_text(app)


def test_a_message_is_shown_in_full_as_text():
    app = open_page("topics")
    app.selectbox(key="whole").select("partition 0, offset 9").run()
    assert not app.exception
    assert app.code[0].value == HOSTILE
    assert app.code[0].language == "plaintext"
    assert list(get_table(app, "content")["content"]) == [HOSTILE]
    assert HOSTILE in app.text[0].value


def test_a_message_that_retention_has_deleted_is_reported(fakes):
    fakes.full_message = None
    app = open_page("topics")
    app.selectbox(key="whole").select("partition 0, offset 9").run()
    assert "Retention has deleted this message" in read_text(app)


@pytest.mark.parametrize("complete", [True, False])
def test_a_read_that_kafka_did_not_complete_is_reported_as_partial(fakes, complete):
    fakes.complete = complete
    assert ("Kafka was too slow" in read_text(open_page("topics"))) is not complete


def test_a_topic_without_a_message_says_so(fakes):
    fakes.messages = []
    assert "There are no messages here" in read_text(open_page("topics"))
