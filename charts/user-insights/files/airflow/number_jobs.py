"""Let the numbers of Airflow's jobs start at one that belongs to this release.

KubernetesExecutor knows its pods by the number of its scheduler's job only: two releases in one namespace that both
count from 1 would take each other's pods for their own.
"""

import hashlib
import os
import sys

import psycopg2

first = int.from_bytes(hashlib.sha256(sys.argv[1].encode()).digest()[:4], "big") % 2_000_000_000 + 1
address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
with psycopg2.connect(f"postgresql://{address}", connect_timeout=10) as connection, connection.cursor() as cursor:
    cursor.execute("select setval('job_id_seq', %s) from job_id_seq where last_value < %s", (first, first))
    print(f"Airflow's jobs are numbered from {first}.")
