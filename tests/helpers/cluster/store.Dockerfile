# The publisher's image with the servers of the one-machine platform, which stand in for a user's existing stores.
ARG PUBLISHER
FROM ${PUBLISHER}
USER 0
RUN apt-get update -qq \
    && apt-get install -qy --no-install-recommends openjdk-17-jre-headless >/dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /tmp/requirements.txt
RUN python3 -m venv /tmp/pip \
    && /tmp/pip/bin/pip install --quiet --no-cache-dir --no-deps --require-hashes --target /opt/servers -r /tmp/requirements.txt \
    && rm -r /tmp/pip
COPY jars /opt/jars
COPY store.py jars.lock /opt/insights/
ENV PYTHONPATH=/opt/insights:/opt/servers
USER 10001
