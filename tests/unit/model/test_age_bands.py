"""The age bands."""

from itertools import pairwise

import pytest

from insights.model.age_bands import BAND_NAMES, ages


def test_the_bands_hold_every_age_once():
    bounds = [ages(band) for band in BAND_NAMES]
    assert bounds[0][0] == 0
    assert all(last + 1 == first for (_, last), (first, _) in pairwise(bounds))
    assert ages("25-34") == (25, 34)
    assert ages("75+")[0] == 75
    assert ages("75+")[1] > 130


def test_an_unknown_band_is_refused():
    with pytest.raises(KeyError):
        ages("25-35")
