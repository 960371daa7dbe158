"""The age bands that users are counted in."""

AGE_BANDS = ((18, "0-17"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (65, "55-64"), (75, "65-74"))
"""Each holds the first age of the next one."""
OLDEST_BAND = "75+"
BAND_NAMES = (*(name for _, name in AGE_BANDS), OLDEST_BAND)
"""The youngest first."""


def get_age_range(band: str) -> tuple[int, int]:
    """The first and last age of a band, in whole years.

    Raises:
        KeyError: there is no such band.
    """
    ends = [first_of_next for first_of_next, _ in AGE_BANDS]
    bounds = zip([0, *ends], [*(end - 1 for end in ends), 2**31 - 1], strict=True)
    return dict(zip(BAND_NAMES, bounds, strict=True))[band]
