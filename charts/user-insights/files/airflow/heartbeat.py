"""Exit with 0 if this pod's job of the given type wrote a heartbeat recently, with far less CPU than
`airflow jobs check`.
"""

import os
import socket
import sys

import psycopg2

QUERY = """
select 1 from job where job_type = %s and hostname = %s and state = 'running'
and latest_heartbeat > now() - make_interval(secs => %s)
"""

address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].partition("://")[2]
connection = psycopg2.connect(f"postgresql://{address}", connect_timeout=5)
with connection.cursor() as cursor:
    cursor.execute(QUERY, (sys.argv[1], socket.gethostname(), int(sys.argv[2])))
    if not cursor.fetchone():
        sys.exit(f"{sys.argv[1]} on {socket.gethostname()} has not written a heartbeat for {sys.argv[2]} s.")
