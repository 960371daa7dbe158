"""The age bands by which users are counted."""

AGE_BANDS = ((18, "0-17"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (65, "55-64"), (75, "65-74"))
"""Each pair is the first age after the band and the band's name."""
OLDEST_BAND = "75+"
BAND_NAMES = (*(name for _, name in AGE_BANDS), OLDEST_BAND)
"""All bands, the youngest first."""


def get_age_range(band: str) -> tuple[int, int]:
    """Return the first and last age of a band, in whole years.

    Raises:
        KeyError: the band does not exist.
    """
    limits = [limit for limit, _ in AGE_BANDS]
    ranges = zip([0, *limits], [*(limit - 1 for limit in limits), 2**31 - 1], strict=True)
    return dict(zip(BAND_NAMES, ranges, strict=True))[band]
