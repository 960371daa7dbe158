"""A Cassandra 5.0 node on loopback, started without its shell scripts."""

import json
import os
from pathlib import Path

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import WhiteListRoundRobinPolicy

from insights.local.jars import list_group_files
from insights.local.process import Component

# From conf/jvm17-server.options of Cassandra 5.0.
EXPORTS = [
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
]
OPENS = [
    "java.base/java.lang.module",
    "java.base/java.net",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.nio",
    "jdk.compiler/com.sun.tools.javac",
]

CONCURRENT_WRITES = 128
"""As many writes share one sync of the commit log; each occupies a thread until it is synced."""
LOGGING = """\
<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender"><encoder>
<pattern>%d{ISO8601} %-5level %logger{0} %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="out"/></root></configuration>
"""


def supports_direct_io(folder: Path) -> bool:
    """Whether files in the folder can be written without the page cache, which some file systems refuse."""
    probe = folder / "direct-io"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | getattr(os, "O_DIRECT", 0), 0o600))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return hasattr(os, "O_DIRECT")


class CassandraServer(Component):
    """A single node that is its own seed, on loopback only, without JMX and authentication."""

    name = "cassandra"
    stop_seconds = 30.0
    local_dc = "datacenter1"

    def __init__(self, state_dir: Path, port: int = 9042, *, java: Path, jars: Path, storage_port: int = 7000) -> None:
        super().__init__(state_dir)
        self.host, self.port, self.storage_port = "127.0.0.1", port, storage_port
        self._java, self._jars = java, jars

    def ports(self) -> dict[str, int]:
        return {"INSIGHTS_CASSANDRA_PORT": self.port, "INSIGHTS_CASSANDRA_STORAGE_PORT": self.storage_port}

    def prepare(self) -> None:
        for directory in ("tmp", "triggers"):
            (self.state / directory).mkdir(exist_ok=True)
        # JSON is a subset of YAML.
        (self.state / "cassandra.yaml").write_text(json.dumps(self._build_settings(), indent=1))
        (self.state / "logback.xml").write_text(LOGGING)

    def command(self) -> list[str]:
        jars = list_group_files("cassandra", self._jars)
        jamm = next(path for path in jars if "__jamm__" in path.name)
        properties = {
            "cassandra.config": (self.state / "cassandra.yaml").as_uri(),
            "cassandra.storagedir": self.state,
            "cassandra.logdir": self.log.parent,
            "cassandra.triggers_dir": self.state / "triggers",
            "logback.configurationFile": (self.state / "logback.xml").as_uri(),
            "cassandra-foreground": "yes",
            "cassandra.skip_wait_for_gossip_to_settle": 0,
            "cassandra.ring_delay_ms": 100,
            "cassandra.superuser_setup_delay_ms": 0,
            "cassandra.libjemalloc": "-",
            "java.io.tmpdir": self.state / "tmp",
            "jna.tmpdir": self.state / "tmp",
            "java.security.manager": "allow",
            "user.language": "en",
            "jdk.attach.allowAttachSelf": "true",
            "io.netty.tryReflectionSetAccessible": "true",
            "io.netty.allocator.numDirectArenas": 1,
            "io.netty.eventLoopThreads": 2,
        }
        return [
            str(self._java),
            *("-Xms512m", "-Xmx512m", "-XX:MaxDirectMemorySize=256m", "-Xss256k", "-XX:+UseSerialGC"),
            *("-XX:+ExitOnOutOfMemoryError", "-XX:+UseTLAB", "-XX:ReservedCodeCacheSize=96m", "-ea"),
            f"-javaagent:{jamm}",
            *(option for module in EXPORTS for option in ("--add-exports", f"{module}=ALL-UNNAMED")),
            *(option for module in OPENS for option in ("--add-opens", f"{module}=ALL-UNNAMED")),
            *(f"-D{key}={value}" for key, value in properties.items()),
            *("-cp", ":".join(str(path) for path in jars), "org.apache.cassandra.service.CassandraDaemon"),
        ]

    def connect(self) -> Cluster:
        """A driver's cluster object for this node; the caller shuts it down."""
        profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([self.host]), request_timeout=20)
        return Cluster(
            [self.host],
            port=self.port,
            protocol_version=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            connect_timeout=5,
        )

    def ready(self) -> bool:
        cluster = self.connect()
        try:
            return cluster.connect().execute("select release_version from system.local").one() is not None
        finally:
            cluster.shutdown()

    def _build_settings(self) -> dict[str, object]:
        seeds = {"seeds": f"{self.host}:{self.storage_port}"}
        return {
            "cluster_name": "User Insights",
            "num_tokens": 1,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "endpoint_snitch": "SimpleSnitch",
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [seeds]}],
            "listen_address": self.host,
            "rpc_address": self.host,
            "storage_port": self.storage_port,
            "native_transport_port": self.port,
            "auto_bootstrap": False,
            "data_file_directories": [str(self.state / "data")],
            "commitlog_directory": str(self.state / "commitlog"),
            "saved_caches_directory": str(self.state / "saved_caches"),
            "hints_directory": str(self.state / "hints"),
            # With periodic sync a write is acknowledged before it is on disk: SIGKILL would lose acknowledged rows.
            "commitlog_sync": "batch",
            "commitlog_disk_access_mode": "direct" if supports_direct_io(self.state) else "legacy",
            "commitlog_segment_size": "16MiB",
            "commitlog_total_space": "256MiB",
            "hinted_handoff_enabled": False,
            "auto_snapshot": False,
            "incremental_backups": False,
            "memtable": {"configurations": {"default": {"class_name": "TrieMemtable"}}},
            "sstable": {"selected_format": "bti"},
            # Without the means to go back to Cassandra 4, which does not know this format.
            "storage_compatibility_mode": "NONE",
            "memtable_heap_space": "96MiB",
            "memtable_offheap_space": "64MiB",
            "memtable_allocation_type": "heap_buffers",
            "file_cache_size": "32MiB",
            "networking_cache_size": "16MiB",
            "key_cache_size": "8MiB",
            "counter_cache_size": "0MiB",
            "prepared_statements_cache_size": "8MiB",
            "column_index_cache_size": "2KiB",
            "concurrent_reads": 8,
            "concurrent_writes": CONCURRENT_WRITES,
            "concurrent_counter_writes": 2,
            "concurrent_compactors": 1,
            "native_transport_max_threads": CONCURRENT_WRITES,
            "disk_access_mode": "mmap_index_only",
            "batch_size_warn_threshold": "64KiB",
            "unlogged_batch_across_partitions_warn_threshold": 1000,
            "batch_size_fail_threshold": "1MiB",
            "read_request_timeout": "20s",
            "range_request_timeout": "30s",
            "write_request_timeout": "20s",
            "request_timeout": "20s",
        }
