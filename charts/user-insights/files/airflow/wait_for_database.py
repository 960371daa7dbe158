"""Wait until the metadata database answers, for as many seconds as the argument says.

Airflow's own commands end at once while it does not, and Kubernetes starts a container that fails again and again up to
five minutes later.
"""

import os
import sys
import time

import psycopg2

PAUSE_SECONDS = 2

address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
deadline = time.monotonic() + int(sys.argv[1])
told = ""
while True:
    try:
        psycopg2.connect(f"postgresql://{address}", connect_timeout=10).close()
        break
    except psycopg2.OperationalError as error:
        if time.monotonic() >= deadline:
            sys.exit(f"The metadata database has not answered for {sys.argv[1]} s: {error}")
        if str(error) != told:
            told = str(error)
            print(f"Waiting for the metadata database: {told}", flush=True)
        time.sleep(PAUSE_SECONDS)
