"""Start the ids of Airflow's jobs at a number that is specific to this release.

KubernetesExecutor identifies its pods only by the id of its scheduler's job: two releases in one namespace that both
count from 1 would adopt each other's pods.
"""

import hashlib
import os
import sys

import psycopg2

first = int.from_bytes(hashlib.sha256(sys.argv[1].encode()).digest()[:4], "big") % 2_000_000_000 + 1
address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
with psycopg2.connect(f"postgresql://{address}", connect_timeout=10) as connection, connection.cursor() as cursor:
    cursor.execute("select setval('job_id_seq', %s) from job_id_seq where last_value < %s", (first, first))
    print(f"The ids of Airflow's jobs start at {first}.")
