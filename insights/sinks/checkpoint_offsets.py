"""Which messages a micro-batch holds, read from the checkpoint, where Spark notes it before the batch runs."""

import json
from typing import Any

from insights.errors import UserError
from insights.sinks.postgres import Offsets


def read_batch_offsets(spark: Any, checkpoint: str, number: int) -> Offsets:
    """Per topic and partition, the batch's first offset and the one after its last.

    Raises:
        UserError: the checkpoint does not hold what it should.
    """
    until = _read(spark, f"{checkpoint}/offsets/{number}")
    begin = _read(spark, f"{checkpoint}/offsets/{number - 1}" if number else f"{checkpoint}/sources/0/0")
    return {
        topic: {partition: [begin.get(topic, {}).get(partition, 0), end] for partition, end in partitions.items()}
        for topic, partitions in until.items()
    }


def count_offsets(offsets: Offsets) -> int:
    """How many offsets a batch spans."""
    return sum(end - begin for partitions in offsets.values() for begin, end in partitions.values())


def _read(spark: Any, path: str) -> dict[str, dict[str, int]]:
    """The last line of a log file of the checkpoint: the offsets of its one source."""
    jvm = spark._jvm
    file = jvm.org.apache.hadoop.fs.Path(path)
    try:
        stream = file.getFileSystem(spark._jsc.hadoopConfiguration()).open(file)
        try:
            text = jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")
        finally:
            stream.close()
        offsets: dict[str, dict[str, int]] = json.loads(text[text.rindex("\n") + 1 :])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The checkpoint file {path} cannot be read ({reason}): restore the checkpoint.") from error
    return offsets
