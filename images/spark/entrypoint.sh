#!/bin/bash
# Takes the arguments that Spark on Kubernetes passes to an image: `driver ARGUMENTS...` or `executor`; others run as a command.
set -euo pipefail

children() { # the child processes of $1, oldest first
  grep -lsE "^PPid:[[:space:]]+$1$" /proc/[0-9]*/status | cut -d/ -f3 | sort -n || true
}

stop() { # lets the Python driver finish its micro-batch and stop Spark, with which the JVM exits
  signalled=yes
  local python
  python=$(children "$jvm" | head -n 1)
  kill -TERM "${python:-$jvm}" 2>/dev/null || true
}

driver() {
  "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
    --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
    --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" "$@" &
  jvm=$!
  trap stop TERM INT
  local status
  while signalled=no; do
    status=0
    wait "$jvm" || status=$?
    [[ $signalled = yes ]] || exit "$status"
  done
}

executor() {
  local options=() classpath="${SPARK_CONF_DIR:-$SPARK_HOME/conf}" index=0 name
  while name=SPARK_JAVA_OPT_$((index++)) && [[ -v $name ]]; do
    options+=("${!name}")
    # Spark reads the file only where spark.master is set, which an executor learns after it has authenticated itself.
    [[ ${!name} != -Dspark.authenticate.secret.file=* ]] || _SPARK_AUTH_SECRET=$(base64 -w 0 "${!name#*=}")
  done
  [[ ! -v _SPARK_AUTH_SECRET ]] || export _SPARK_AUTH_SECRET
  classpath+=":${SPARK_CLASSPATH:+$SPARK_CLASSPATH:}$SPARK_HOME/jars/*"
  exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classpath" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
}

case ${1-} in
  driver) shift && driver "$@" ;;
  executor) executor ;;
  *) exec "$@" ;;
esac
