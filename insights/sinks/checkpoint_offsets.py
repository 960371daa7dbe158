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
    ends = _read_offset_log(spark, f"{checkpoint}/offsets/{number}")
    starts = _read_offset_log(spark, f"{checkpoint}/offsets/{number - 1}" if number else f"{checkpoint}/sources/0/0")
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


def _find_last_batch(spark: Any, folder: str) -> int | None:
    path = spark._jvm.org.apache.hadoop.fs.Path(folder)
    files = path.getFileSystem(spark._jsc.hadoopConfiguration())
    if not files.exists(path):
        return None
    names = [status.getPath().getName() for status in files.listStatus(path)]
    return max((int(name) for name in names if name.isdecimal()), default=None)


def _read_offset_log(spark: Any, path: str) -> dict[str, dict[str, int]]:
    """The offsets of the query's one source: the last line of a file of the checkpoint."""
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
