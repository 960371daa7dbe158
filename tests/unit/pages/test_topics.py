"""The topics: offsets, lag, messages."""

from tests.unit.pages.support import opened, table


def test_a_partition_shows_its_offsets_and_the_lag_of_the_stream():
    raw, quarantine = table(opened("topics"), "lag").to_dict("records")
    assert (raw["begin"], raw["end"], raw["messages"], raw["read"], raw["lag"]) == (2, 10, 8, 7, 3)
    assert quarantine["messages"] == 4
    assert quarantine["lag"] != quarantine["lag"]  # Not a number: the stream does not read it.


def test_a_partition_that_the_stream_has_not_read_lags_by_all_its_messages(fakes):
    fakes.read = {}
    raw = table(opened("topics"), "lag").to_dict("records")[0]
    assert (raw["read"], raw["lag"]) == (2, 8)
