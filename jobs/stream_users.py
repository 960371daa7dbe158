"""Deliver the raw topic's users: Spark Structured Streaming from Kafka to PostgreSQL, Cassandra and quarantine."""

import logging
import sys
import time
from functools import partial

from insights import entrypoint
from insights.clients.retry import retry_until_ready
from insights.probes import ProbeServer
from insights.repair.recount import count_new_dimensions
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings, load
from insights.sinks.micro_batch import MicroBatchSink, TransformOutputs
from insights.stream import query as streaming_query
from insights.stream import transform
from insights.stream.metrics import ProgressListener, StreamMetrics

PATIENCE_SECONDS = 300
"""How long a start waits for stores that do not answer."""


def main() -> int:
    return entrypoint.run(_stream, quiet={"py4j": logging.WARNING})


def _stream() -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        UserError: the query failed, or something that it needs is missing.
    """
    settings, kafka = load(StreamSettings), load(KafkaSettings)
    postgres, cassandra = load(PostgresSettings), load(CassandraSettings)
    metrics = StreamMetrics()
    sink = MicroBatchSink(
        TransformOutputs(transform.select_accepted, transform.select_rejected),
        settings,
        postgres,
        cassandra,
        kafka,
        metrics.record_batch,
    )
    probes = ProbeServer(
        settings.http_host,
        settings.http_port,
        "INSIGHTS_STREAM_HTTP_PORT",
        metrics.registry,
        healthz=metrics.check_liveness,
        readyz=metrics.check_readiness,
    )
    spark = streaming_query.make_spark_session(settings)
    try:
        spark.streams.addListener(ProgressListener(metrics))
        # Spark took long to start: starting it again would take longer than the stores' return.
        count = partial(count_new_dimensions, postgres, cassandra, settings)
        if new := retry_until_ready("the stores", count, time.monotonic() + PATIENCE_SECONDS):
            logging.info("counted the existing users by the new dimensions %s", ", ".join(new))
        messages = streaming_query.read_topic(spark, settings, kafka)
        transformed = transform.transform_messages(messages, kafka.max_message_bytes)
        query = streaming_query.start_query(transformed, sink, settings)
        logging.info("streaming %s, checkpoint %s", kafka.raw_topic, settings.checkpoint)
        streaming_query.run_query(query, sink, settings)
    finally:
        spark.stop()
        sink.close()
        probes.close()


if __name__ == "__main__":
    sys.exit(main())
