"""The Spark configuration that the peers have in common."""

from collections.abc import Iterable, Mapping

from insights.settings import CassandraSettings

COMMON: Mapping[str, str] = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.sql.session.timeZone": "UTC",
}


def configure_connector(settings: CassandraSettings, jars: Iterable[object]) -> dict[str, str]:
    """The configuration of a session with the Cassandra connector, whose jars are given by their paths."""
    return {
        **COMMON,
        "spark.jars": ",".join(map(str, jars)),
        "spark.cassandra.connection.host": settings.hosts,
        "spark.cassandra.connection.port": str(settings.port),
        "spark.cassandra.connection.localDC": settings.local_dc,
    }
