"""Serve the raw topic's users: Spark Structured Streaming from Kafka to PostgreSQL, Cassandra and quarantine."""

import logging
import sys

from insights.errors import UserError
from insights.probes import ProbeServer
from insights.repair.recount import count_new_dimensions
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StreamSettings, load
from insights.sinks.micro_batch import MicroBatchSink, TransformOutputs
from insights.stream import query as streaming_query
from insights.stream import transform
from insights.stream.metrics import ProgressListener, StreamMetrics


def main() -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        UserError: the query died, or what it needs is missing.
    """
    settings, kafka = load(StreamSettings), load(KafkaSettings)
    postgres, cassandra = load(PostgresSettings), load(CassandraSettings)
    metrics = StreamMetrics()
    server = MicroBatchSink(
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
        if new := count_new_dimensions(postgres, cassandra, settings):
            logging.info("counted the served users for the first time by %s", ", ".join(new))
        judged = transform.transform_messages(
            streaming_query.read_topic(spark, settings, kafka), kafka.max_message_bytes
        )
        query = streaming_query.start_query(judged, server, settings)
        logging.info("streaming %s, checkpoint %s", kafka.raw_topic, settings.checkpoint)
        streaming_query.run_query(query, server, settings)
    finally:
        spark.stop()
        server.close()
        probes.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
