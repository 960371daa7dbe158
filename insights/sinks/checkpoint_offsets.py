"""The offsets of a micro-batch, read from the checkpoint, to which Spark writes them before the batch runs."""

import json
from typing import Any

from insights.errors import UserError
from insights.sinks.postgres import Offsets


def read_batch_offsets(spark: Any, checkpoint: str, number: int) -> Offsets:
    """The first offset and the end offset of the batch, by topic and partition.

    Raises:
        UserError: a file of the checkpoint is missing or damaged.
    """
    ends = _read_last_line(spark, f"{checkpoint}/offsets/{number}")
    starts = _read_last_line(spark, f"{checkpoint}/offsets/{number - 1}" if number else f"{checkpoint}/sources/0/0")
    return {
        topic: {partition: [starts.get(topic, {}).get(partition, 0), end] for partition, end in partitions.items()}
        for topic, partitions in ends.items()
    }


def read_next_offsets(spark: Any, checkpoint: str) -> dict[str, dict[str, int]]:
    """The offsets from which a restarted query reads, by topic and partition; empty for a new checkpoint.

    A planned batch that Spark did not commit is repeated.

    Raises:
        UserError: a file of the checkpoint is missing or damaged.
    """
    planned = _find_last_batch(spark, f"{checkpoint}/offsets")
    if planned is None:
        return {}
    bound = 1 if _find_last_batch(spark, f"{checkpoint}/commits") == planned else 0
    return {
        topic: {partition: span[bound] for partition, span in partitions.items()}
        for topic, partitions in read_batch_offsets(spark, checkpoint, planned).items()
    }


def read_last_committed(spark: Any, checkpoint: str) -> tuple[str, int] | None:
    """The query's id and the number of the last batch that Spark has committed; None for a new checkpoint.

    Raises:
        UserError: a file of the checkpoint is missing or damaged.
    """
    number = _find_last_batch(spark, f"{checkpoint}/commits")
    return None if number is None else (str(_read_last_line(spark, f"{checkpoint}/metadata")["id"]), number)


def _find_last_batch(spark: Any, folder: str) -> int | None:
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)
    files = path.getFileSystem(spark._jsc.hadoopConfiguration())
    if not files.exists(path):
        return None
    names = [status.getPath().getName() for status in files.listStatus(path)]
    return max((int(name) for name in names if name.isdecimal()), default=None)


def _read_last_line(spark: Any, path: str) -> dict[str, Any]:
    """The JSON object in the last line of a file of the checkpoint; of a log of offsets, those of the only source."""
    jvm = spark._jvm
    file = jvm.org.apache.hadoop.fs.Path(path)
    try:
        stream = file.getFileSystem(spark._jsc.hadoopConfiguration()).open(file)
        try:
            text = jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8")
        finally:
            stream.close()
        content: dict[str, Any] = json.loads(text[text.rfind("\n") + 1 :])
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The checkpoint file {path} cannot be read ({reason}): restore the checkpoint.") from error
    return content
