"""The age bands."""

from itertools import pairwise

import pytest

from insights.model.age_bands import BAND_NAMES, get_age_range


def test_every_age_is_in_exactly_one_band():
    bounds = [get_age_range(band) for band in BAND_NAMES]
    assert bounds[0][0] == 0
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(bounds))
    assert get_age_range("25-34") == (25, 34)
    assert get_age_range("75+")[0] == 75
    assert get_age_range("75+")[1] > 130


def test_an_unknown_band_is_an_error():
    with pytest.raises(KeyError):
        get_age_range("25-35")
