"""Start the Python processes of an executor, as `pyspark.daemon` does, each ready for its first task.

Spark runs this module once on every executor and forks the processes from it.
"""

import gc
import os
import sys


def main() -> None:
    """Fork processes until the executor ends."""
    # Spark adds archives to the path, whose directories Python would read again before each task: 0.15 s of CPU time.
    # PySpark is installed beside this package.
    sys.path[:] = [entry for entry in sys.path if not os.path.isfile(entry)]
    sys.path_importer_cache.clear()

    from pyspark import daemon

    from insights.sinks import executor_writes, outcomes  # noqa: F401

    # PySpark collects garbage after each task: what every process has is not worth looking through.
    gc.freeze()
    daemon.manager()


if __name__ == "__main__":
    main()
