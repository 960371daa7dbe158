{{/* Whether Airflow is reached from outside the cluster; empty if not. */}}
{{- define "user-insights.airflow.exposed" -}}
{{- if or .Values.airflow.ingress.enabled .Values.airflow.httpRoute.enabled -}}
true
{{- end -}}
{{- end -}}

{{/* Settings of all Airflow pods, as a YAML map. Some intervals are longer than Airflow's defaults, which use CPU while nothing
     runs; an edited DAG is still picked up at once. */}}
{{- define "user-insights.airflow.config" -}}
AIRFLOW__CORE__EXECUTOR: KubernetesExecutor
AIRFLOW__CORE__AUTH_MANAGER: airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager
AIRFLOW__CORE__EXECUTION_API_SERVER_URL: {{ printf "http://%s:8080/execution/" (include "user-insights.componentName" (dict "root" . "component" "airflow-api-server")) }}
AIRFLOW__CORE__HOSTNAME_CALLABLE: socket.gethostname
AIRFLOW__CORE__PARALLELISM: {{ .Values.airflow.parallelism | quote }}
AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: {{ ternary "False" "True" .Values.airflow.dagsUnpaused | quote }}
AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES: "1"
AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: "120"
AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD: "300"
AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL: "0"
AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD: "120"
AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL: "300"
AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK: "True"
AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT: "120"
# Lets a task survive a rollout of the API server, which takes a minute or two.
AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS: "20"
AIRFLOW__WORKERS__EXECUTION_API_RETRIES: "10"
AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX: "20"
AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD: "60"
AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD: "120"
AIRFLOW__LOGGING__COLORED_CONSOLE_LOG: "False"
AIRFLOW__LOGGING__DAG_PROCESSOR_LOG_TARGET: stdout
AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False"
AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE: {{ .Release.Namespace }}
AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE: /etc/airflow/pod_template_file.yaml
AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS: {{ ternary "False" "True" .Values.airflow.keepTaskPods | quote }}
{{- /* Without a volume or a store, only the pod of a failed task has its log. */}}
{{- $kept := or .Values.airflow.logs.persistent .Values.airflow.logs.s3.folder }}
AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE: {{ ternary "True" "False" (and (not (empty $kept)) (not .Values.airflow.keepTaskPods)) | quote }}
{{- end -}}

{{/* Where lineage is sent. In a thread, because a server that does not answer can leave a task stuck whose process was forked. By default, it
     would delay each task by 20 seconds. */}}
{{- define "user-insights.airflow.lineage.config" -}}
{{- with .Values.lineage.url -}}
AIRFLOW__OPENLINEAGE__TRANSPORT: {{ dict "type" "http" "url" . "timeout" 2 "retry" (dict "total" 1) | toJson | squote }}
AIRFLOW__OPENLINEAGE__NAMESPACE: {{ include "user-insights.fullname" $ }}
AIRFLOW__OPENLINEAGE__EXECUTE_IN_THREAD: "True"
AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT: "3"
AIRFLOW__OPENLINEAGE__EMISSION_POLICY: '[{"scope": {}, "controls": {"include_source_code": false}}]'
{{- end -}}
{{- end -}}

{{/* Location of the task logs, for pods that write or show them. */}}
{{- define "user-insights.airflow.logs.config" -}}
{{- with .Values.airflow.logs }}
{{- if .persistent }}
AIRFLOW__LOGGING__BASE_LOG_FOLDER: /var/lib/airflow/logs
{{- end }}
{{- with .s3.folder }}
AIRFLOW__LOGGING__REMOTE_LOGGING: "True"
AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER: {{ . }}
AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID: {{ ternary "logs_s3" "" (not (empty $.Values.airflow.logs.s3.existingSecret)) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The connection to the store of the task logs. */}}
{{- define "user-insights.airflow.logs.env" -}}
{{- with .Values.airflow.logs.s3 }}
{{- if and .folder .existingSecret }}
- name: AIRFLOW_CONN_LOGS_S3
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: connection}}
{{- end }}
{{- end }}
{{- end -}}

{{/* The platform's settings as environment variables. `airflow.config` replaces a setting, because a name may occur only once.
     Calling convention: (dict "root" $ "ours" (dict)) */}}
{{- define "user-insights.airflow.variables" -}}
{{- $lines := list -}}
{{- $secret := list "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" "AIRFLOW__CORE__FERNET_KEY" "AIRFLOW__API_AUTH__JWT_SECRET" "AIRFLOW__API__SECRET_KEY" -}}
{{- range $name, $_ := .root.Values.airflow.config -}}
{{- if has $name $secret -}}
{{- fail (printf "airflow.config contains %s, which is secret: put it into airflow.existingDatabaseSecret or airflow.existingKeysSecret." $name) -}}
{{- else if not (regexMatch "^AIRFLOW__[A-Z0-9_]+__[A-Z0-9_]+$" $name) -}}
{{- fail (printf "airflow.config contains %q, which is not an Airflow setting: write it as AIRFLOW__SECTION__KEY." $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := mergeOverwrite .ours .root.Values.airflow.config -}}
{{- $lines = append $lines (printf "- name: %s\n  value: %s" $name ($value | toString | quote)) -}}
{{- end -}}
{{- join "\n" $lines -}}
{{- end -}}

{{/* The metadata database. Calling convention: (dict "root" $ "optional" true) */}}
{{- define "user-insights.airflow.databaseEnv" -}}
{{- $airflow := .root.Values.airflow -}}
- name: AIRFLOW__DATABASE__SQL_ALCHEMY_CONN
  valueFrom: {secretKeyRef: {name: {{ default (printf "%s-postgres-app" (include "user-insights.fullname" .root)) $airflow.existingDatabaseSecret }}, key: uri{{ if .optional }}, optional: true{{ end }}}}
{{- $external := .root.Values.postgres.external -}}
{{- $sslmode := ternary "verify-full" (ternary $external.sslmode "" $external.enabled) (empty $airflow.existingDatabaseSecret) }}
{{- /* Both of Airflow's database drivers read these variables; one of them rejects `sslmode` in the URI. */}}
{{- with $sslmode }}
- name: PGSSLMODE
  value: {{ . }}
{{- if include "user-insights.store.caSecret" (dict "root" $.root "store" "postgres") }}
- name: PGSSLROOTCERT
  value: /etc/insights/authorities/postgres.crt
{{- end }}
{{- end }}
{{- end -}}

{{/* Environment of Airflow's own processes. Calling convention: (dict "root" $ "logs" true) */}}
{{- define "user-insights.airflow.env" -}}
{{- $airflow := .root.Values.airflow -}}
{{- $fullname := include "user-insights.fullname" .root -}}
{{- $keys := default (printf "%s-airflow-keys" $fullname) $airflow.existingKeysSecret -}}
{{- $ours := include "user-insights.airflow.lineage.config" .root | fromYaml | merge (include "user-insights.airflow.config" .root | fromYaml) -}}
{{- if .logs -}}
{{- $ours = include "user-insights.airflow.logs.config" .root | fromYaml | merge $ours -}}
{{- end -}}
{{ include "user-insights.airflow.databaseEnv" (dict "root" .root) }}
- name: AIRFLOW__CORE__FERNET_KEY
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: fernet-key}}
- name: AIRFLOW__API_AUTH__JWT_SECRET
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: jwt-secret}}
- name: AIRFLOW__API__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: api-secret-key}}
{{- if .logs }}
{{- include "user-insights.airflow.logs.env" .root }}
{{- end }}
{{ include "user-insights.airflow.variables" (dict "root" .root "ours" $ours) }}
{{- end -}}

{{/* Metrics of Airflow's own processes. Tasks and commands have none: their end would wait for a collector that does not answer.
     Calling convention: $ */}}
{{- define "user-insights.airflow.metricsEnv" -}}
{{- if and .Values.telemetry.otlp.endpoint (not (hasKey .Values.airflow.config "AIRFLOW__METRICS__OTEL_ON")) }}
{{- include "user-insights.telemetry.env" . }}
- name: AIRFLOW__METRICS__OTEL_ON
  value: "True"
- name: OTEL_SERVICE_NAME
  value: {{ include "user-insights.fullname" . }}-airflow
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.namespace={{ .Release.Namespace }},service.instance.id=$(POD_NAME)
{{- end }}
{{- end -}}

{{/* Name of the Secret with the password of the dashboard's user. Calling convention: $ */}}
{{- define "user-insights.airflow.dashboardSecret" -}}
{{- default (printf "%s-airflow-dashboard" (include "user-insights.fullname" .)) .Values.airflow.dashboardUser.existingSecret -}}
{{- end -}}

{{/* Environment of the dashboard, which reads and starts DAG runs. Calling convention: $ */}}
{{- define "user-insights.airflow.clientEnv" -}}
- name: INSIGHTS_AIRFLOW_URL
  value: {{ printf "http://%s:8080" (include "user-insights.componentName" (dict "root" . "component" "airflow-api-server")) }}
- name: INSIGHTS_AIRFLOW_USERNAME
  value: {{ .Values.airflow.dashboardUser.username | quote }}
- name: INSIGHTS_AIRFLOW_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "user-insights.airflow.dashboardSecret" . }}, key: password}}
{{- end -}}

{{/* Airflow's connection to Kafka, as JSON. Kubernetes substitutes the credentials for $(...), so they must not contain " or \. */}}
{{- define "user-insights.airflow.kafkaConnection" -}}
{{- $protocol := include "user-insights.kafka.securityProtocol" . -}}
{{- $extra := dict "bootstrap.servers" (include "user-insights.kafka.bootstrapServers" .) "partitioner" "murmur2_random" "security.protocol" $protocol -}}
{{- if contains "SASL" $protocol -}}
{{- $_ := set $extra "sasl.mechanism" (include "user-insights.kafka.saslMechanism" .) -}}
{{- $_ := set $extra "sasl.username" "$(INSIGHTS_KAFKA_USERNAME)" -}}
{{- $_ := set $extra "sasl.password" "$(INSIGHTS_KAFKA_PASSWORD)" -}}
{{- end -}}
{{- if include "user-insights.store.caSecret" (dict "root" . "store" "kafka") -}}
{{- $_ := set $extra "ssl.ca.location" "/etc/insights/authorities/kafka.crt" -}}
{{- end -}}
{{- dict "extra" $extra | toJson -}}
{{- end -}}

{{/* The connection by which failed tasks are reported: by the task itself, or by the DAG processor if the task's pod was lost. */}}
{{- define "user-insights.airflow.notifyEnv" -}}
{{- with .Values.airflow.notify.existingSecret }}
- name: AIRFLOW_CONN_APPRISE_DEFAULT
  valueFrom: {secretKeyRef: {name: {{ . }}, key: connection}}
{{- $url := include "user-insights.airflow.url" $ }}
{{- if and $url (not (hasKey $.Values.airflow.config "AIRFLOW__API__BASE_URL")) }}
- name: AIRFLOW__API__BASE_URL
  value: {{ $url }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where people reach Airflow; empty if it is not exposed. Not for the API server, which would redirect a forwarded port to it. */}}
{{- define "user-insights.airflow.url" -}}
{{- if .Values.airflow.ingress.enabled -}}
{{ ternary "https" "http" (not (empty .Values.airflow.ingress.tlsSecret)) }}://{{ .Values.airflow.ingress.host }}
{{- else if .Values.airflow.httpRoute.enabled -}}
https://{{ .Values.airflow.httpRoute.host }}
{{- end -}}
{{- end -}}

{{/* Environment of a task, which uses Airflow's API and the stores, but not the metadata database. */}}
{{- define "user-insights.airflow.taskEnv" -}}
{{- $ours := pick (include "user-insights.airflow.config" . | fromYaml) "AIRFLOW__CORE__EXECUTION_API_SERVER_URL" "AIRFLOW__CORE__HOSTNAME_CALLABLE" "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG" "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS" "AIRFLOW__WORKERS__EXECUTION_API_RETRIES" "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX" -}}
{{- range list "lineage" "logs" -}}
{{- $ours = include (printf "user-insights.airflow.%s.config" .) $ | fromYaml | merge $ours -}}
{{- end -}}
{{- include "user-insights.stores.env" (dict "root" . "user" "ingest" "stores" (list "postgres" "kafka" "cassandra")) }}
- name: AIRFLOW_CONN_KAFKA_DEFAULT
  value: {{ include "user-insights.airflow.kafkaConnection" . | squote }}
{{- include "user-insights.airflow.logs.env" . }}
{{ include "user-insights.airflow.notifyEnv" . | trim }}
{{ include "user-insights.telemetry.env" . | trim }}
- name: INSIGHTS_SOURCE_URL
  value: {{ include "user-insights.source.url" . | quote }}
{{- with .Values.source.existingSecret }}
- name: INSIGHTS_SOURCE_HEADERS
  valueFrom: {secretKeyRef: {name: {{ . }}, key: headers}}
{{- end }}
- name: INSIGHTS_STAGING_RETENTION_DAYS
  value: {{ .Values.staging.retentionDays | quote }}
- name: INSIGHTS_SOURCE_PAGE_SIZE
  value: {{ .Values.source.pageSize | quote }}
{{ include "user-insights.airflow.variables" (dict "root" . "ours" $ours) }}
{{- end -}}
