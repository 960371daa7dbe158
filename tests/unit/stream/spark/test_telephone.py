"""Telephone numbers: what the stream accepts, and how it serves it, is what libphonenumber says."""

import re

import pytest
from pyspark.sql import functions as F

from insights.model.countries import load_countries
from insights.model.telephony import load_telephony, map_digits
from insights.stream import telephone
from tests.helpers.telephone_corpus import Sample, ask_library, generate_corpus

PER_NATIONALITY = 600

KNOWN = (
    ("NZ", "(642)-184-7412", "+64 21847412"),
    ("DE", "0049-6451623", "+49 6451623"),
    ("NO", "0047 22 12 34 56", "+47 22123456"),
    ("GB", "+44 (0)20 7946 0018", "+44 2079460018"),
    ("BR", "0 21 11 3456-7890", "+55 1134567890"),
    ("IR", "\u06f0\u06f2\u06f1-\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8\u06f9", "+98 2123456789"),
    ("IN", "\u0966\u0968\u0968-\u0968\u0969\u096a\u096b\u096c\u096d\u096e\u096f", "+91 2223456789"),
    ("FR", "04\u201172\u201110\u201130\u201130", "+33 472103030"),
    ("FR", "04\u201372\u201310\u201330\u201330", "+33 472103030"),
    ("US", "912-464-7839 x123", "+1 9124647839"),
    ("US", "1-800-FLOWERS", "+1 8003569377"),
    ("FR", "tel:04-72-10-30-30;phone-context=+33", "+33 472103030"),
    ("FR", "+49 30 123456", None),
    ("UA", "(098) S17-2518", None),
    ("US", "", None),
)


@pytest.fixture(scope="module")
def read(spark):
    """Return a function that returns the number of each sample in E.164, None if it is invalid."""

    def read_samples(samples: list[Sample]) -> list[str | None]:
        rows = [(position, sample.text, sample.nationality) for position, sample in enumerate(samples)]
        frame = spark.createDataFrame(rows, "position INT, phone STRING, nat STRING").coalesce(1)
        number = telephone.extract_national_number(F.col("phone_dialled"), F.col("nat"))
        result = (
            telephone.read_dialled(frame, {"phone": "phone"})
            .select("nat", number.alias("number"))
            .toArrow()
            .to_pylist()
        )
        codes = {nationality: load_telephony(nationality).calling_code for nationality in load_countries()}
        return [f"+{codes[row['nat']]}{row['number']}" if row["number"] else None for row in result]

    return read_samples


def test_numbers_known_to_be_written_like_this_are_read(read):
    samples = [Sample(text, nationality, expected) for nationality, text, expected in KNOWN]
    expected = [None if number is None else number.replace(" ", "") for _, _, number in KNOWN]
    assert read(samples) == expected
    assert [ask_library(sample.text, sample.nationality) for sample in samples] == expected


def test_the_stream_and_libphonenumber_agree_on_numbers_of_every_nationality(read):
    samples = list(generate_corpus(PER_NATIONALITY))
    assert len(samples) > 10_000
    different = [
        (sample, number) for sample, number in zip(samples, read(samples), strict=True) if number != sample.expected
    ]
    assert different[:10] == []
    valid = [sample for sample in samples if sample.expected is not None]
    assert 0.3 < len(valid) / len(samples) < 0.8
    assert len({sample.nationality for sample in valid}) == len(load_countries())


def test_the_patterns_agree_with_libphonenumber_on_bare_digits():
    """Python's regular expressions have the same syntax, and are quicker to ask than Spark."""
    patterns = {code: re.compile(telephone.build_pattern(load_telephony(code))) for code in load_countries()}
    different = []
    for sample in generate_corpus(PER_NATIONALITY, seed=14):
        digits = "+" * sample.text.startswith("+") + re.sub("[^0-9]", "", sample.text)
        match = patterns[sample.nationality].match(digits)
        number = f"+{load_telephony(sample.nationality).calling_code}{match[1]}" if match else None
        if number != ask_library(digits, sample.nationality):
            different.append((digits, sample.nationality, number))
    assert different[:10] == []


def test_every_digit_of_another_script_has_its_value():
    digits, values = map_digits()
    assert [int(digit) for digit in digits] == [int(value) for value in values]
    assert len(digits) > 500
