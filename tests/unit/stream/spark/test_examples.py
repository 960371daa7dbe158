"""The messages with which the stream warms up."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from insights.stream.examples import make_examples
from insights.stream.planned_frame import PlannedFrame
from insights.stream.usual_form import mark_texts


def test_examples_are_accepted_messages_in_the_usual_form(template: DataFrame, planned_outcomes: PlannedFrame) -> None:
    examples = make_examples(template, 3)
    text = F.col("value").cast("string")
    assert examples.where(mark_texts(text) == text).count() == 0
    users = [outcome["accepted"] for outcome in planned_outcomes.apply(examples).toArrow().to_pylist()]
    found = [(user["email_domain"], user["country_code"], user["cell"], user["location_plausible"]) for user in users]
    assert found == [("example.com", "AU", "+61412345678", True)] * 3
