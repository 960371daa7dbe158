# Spark's image, which has Java, with the servers of the one-machine platform, which stand in for a user's existing stores.
ARG SPARK
FROM ${SPARK}
USER 0
# PostgreSQL starts for a user with a name only.
RUN useradd --uid 10001 --no-create-home stores
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m venv /tmp/pip \
    && /tmp/pip/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes --target /opt/servers -r /tmp/requirements.txt \
    && rm -r /tmp/pip
COPY jars /opt/jars
COPY store.py jars.lock /opt/insights/
ENV PYTHONPATH=/opt/insights:/opt/servers
USER 10001
