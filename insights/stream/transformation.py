"""The transformation of micro-batches, planned once for all of them."""

from collections.abc import Callable
from functools import cached_property

from pyspark.sql import DataFrame

from insights.stream.examples import make_examples
from insights.stream.planned_frame import PlannedFrame, make_template
from insights.stream.transform import select_outcomes, transform_messages

_WARM_UP_BATCHES = 4
_WARM_UP_MESSAGES = 2000


class Transformation:
    """What becomes of messages with the columns of `messages`.

    Args:
        messages: rows of the Kafka source, of which only the columns matter here.
        max_value_bytes: a message with a larger value is rejected.
        max_payload_bytes: the largest payload in the outcome of a rejected message.
        encode: encodes the outcomes, row by row.
    """

    def __init__(
        self,
        messages: DataFrame,
        max_value_bytes: int,
        max_payload_bytes: int,
        encode: Callable[[DataFrame], DataFrame],
    ) -> None:
        self._template = make_template(messages.sparkSession, messages.schema)
        self._transformed = transform_messages(self._template, max_value_bytes)
        self._outcomes = PlannedFrame(encode(select_outcomes(self._transformed, max_payload_bytes)))

    def transform(self, messages: DataFrame) -> DataFrame:
        """`transform_messages` of a micro-batch, which few batches need besides the outcomes."""
        return self._planned_transform.apply(messages)

    def encode_outcomes(self, messages: DataFrame) -> DataFrame:
        """The encoded outcomes of a micro-batch."""
        return self._outcomes.apply(messages)

    @cached_property
    def _planned_transform(self) -> PlannedFrame:
        return PlannedFrame(self._transformed)

    def warm_up(self) -> None:
        """Transform examples, so that the generated code is compiled and the executors' Python processes have started.

        HotSpot compiles what has been executed often.
        """
        outcomes = self._outcomes.apply(make_examples(self._template, _WARM_UP_MESSAGES))
        for _ in range(_WARM_UP_BATCHES):
            outcomes.toArrow()
