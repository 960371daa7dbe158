"""Deliver the raw topic's users: Spark Structured Streaming from Kafka to PostgreSQL, Cassandra and quarantine."""

import logging
import sys
import time
from contextlib import ExitStack

from insights import entrypoint
from insights.clients.retry import retry_until_ready
from insights.clients.tracing import open_spans
from insights.probes import ProbeServer
from insights.repair.recount import count_new_dimensions
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings, load
from insights.sinks.batch_contents import COLLECTED_BYTES
from insights.sinks.delivery_record import DeliveryRecord
from insights.sinks.executor_writes import SparkStores
from insights.sinks.micro_batch import MicroBatchSink, TransformOutputs
from insights.sinks.orphaned_batches import deliver_orphans
from insights.sinks.outcomes import encode_outcomes
from insights.sinks.refill import refill_cassandra
from insights.sinks.stores import StoreConnectionSettings
from insights.stream import query as streaming_query
from insights.stream import transform
from insights.stream.executors import watch_executors
from insights.stream.metrics import ProgressListener, StreamMetrics
from insights.stream.start import StreamStart, TopicWatch, explain_loss, resolve_start
from insights.stream.transformation import Transformation

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
    with ExitStack() as resources:
        probes = ProbeServer(
            settings.http_host,
            settings.http_port,
            "INSIGHTS_STREAM_HTTP_PORT",
            metrics.registry,
            healthz=metrics.check_liveness,
            readyz=metrics.check_readiness,
        )
        resources.callback(probes.close)
        spans = resources.enter_context(open_spans("insights-stream"))
        # Closed after Spark has stopped, so that no batch is running.
        connections = resources.enter_context(ExitStack())
        spark = streaming_query.make_spark_session(settings)
        resources.callback(spark.stop)
        resources.enter_context(watch_executors(spark, metrics.record_executors))
        spark.streams.addListener(ProgressListener(metrics))
        stores = SparkStores(spark, StoreConnectionSettings(settings, postgres, cassandra))
        connections.callback(stores.close)
        delivered = DeliveryRecord(stores)

        def prepare() -> StreamStart:
            if new := count_new_dimensions(postgres, cassandra, settings):
                logging.info("counted the existing users by the new dimensions %s", ", ".join(new))
            delivered.find_restore()
            if refilled := refill_cassandra(stores, metrics.record_idle):
                logging.info("Cassandra has the %d users that PostgreSQL had", refilled)
            start = resolve_start(spark, settings.checkpoint, kafka, postgres)
            if orphans := deliver_orphans(stores, start.orphaned_before, metrics.record_latencies):
                logging.info("delivered %d merged batches that the query does not repeat", orphans)
            delivered.begin()
            return start

        # Spark took long to start: starting it again would take longer than the stores' return.
        with streaming_query.explain_failure(settings):
            start = retry_until_ready("the stores", prepare, time.monotonic() + PATIENCE_SECONDS)
        query_settings = settings.model_copy(update={"checkpoint": start.checkpoint})
        messages = streaming_query.read_topic(spark, query_settings, kafka, start)
        transformation = Transformation(messages, kafka.max_message_bytes, COLLECTED_BYTES, encode_outcomes)
        outputs = TransformOutputs(
            transformation.encode_outcomes,
            transformation.transform,
            transform.select_rejected,
            transform.select_refused,
        )
        watch = TopicWatch(kafka, start.topic_id)
        sink = MicroBatchSink(
            outputs, stores, kafka, start.checkpoint, metrics.record_batch, watch, delivered.delivering, spans
        )

        def check() -> None:
            watch()
            delivered.check()

        with streaming_query.explain_failure(query_settings):
            streaming_query.warm_up_source(spark, kafka, start)
            transformation.warm_up()
            stores.warm_up()
        with explain_loss(kafka, postgres):
            query = streaming_query.start_query(messages, sink, query_settings)
            logging.info("streaming %s, checkpoint %s", kafka.raw_topic, query_settings.checkpoint)
            streaming_query.run_query(query, sink, query_settings, check)


if __name__ == "__main__":
    sys.exit(main())
