"""A Spark JVM that outlives the stream's Python processes, so that a crash of one costs no start of a JVM.

PySpark attaches to the JVM that its environment names, as it does under `spark-submit`. That a JVM dies with its
process is tested by the kills.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyspark import SparkConf
from pyspark.java_gateway import launch_gateway

from insights.local.jars import list_group_files
from tests.helpers.support import SHORT_LIVED


class WarmSpark:
    """The JVM behind a PySpark gateway."""

    def __init__(self, gateway: Any, log: Path) -> None:
        self._gateway, self.log = gateway, log

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which another Python process attaches to the JVM."""
        parameters = self._gateway.gateway_parameters
        return {"PYSPARK_GATEWAY_PORT": str(parameters.port), "PYSPARK_GATEWAY_SECRET": parameters.auth_token}

    def stop_context(self) -> None:
        """Stop what a killed Python process has left running in the JVM."""
        companion = getattr(self._gateway.jvm.org.apache.spark, "SparkContext$")
        context = getattr(companion, "MODULE$").getActive()
        if context.isDefined():
            context.get().stop()


@contextmanager
def start_spark(jars: Path, log: Path) -> Iterator[WarmSpark]:
    """Start a JVM with Spark's Kafka connector."""
    conf = SparkConf(loadDefaults=False)
    conf.set("spark.jars", ",".join(str(path) for path in list_group_files("spark", jars)))
    conf.set("spark.driver.memory", "768m")
    conf.set("spark.driver.extraJavaOptions", f"-XX:+UseSerialGC {SHORT_LIVED} -Duser.timezone=UTC")
    conf.set("spark.driver.host", "127.0.0.1").set("spark.driver.bindAddress", "127.0.0.1")
    with log.open("ab") as output:
        gateway = launch_gateway(conf, {"stdout": output, "stderr": output})
    try:
        yield WarmSpark(gateway, log)
    finally:
        gateway.proc.kill()
        gateway.proc.wait()
        gateway.close()
