{{/* Fields of every Airflow container. Calling convention: $ */}}
{{- define "user-insights.airflow.container" -}}
{{ include "user-insights.image" (dict "root" . "name" "airflow") }}
securityContext:
  {{- include "user-insights.containerSecurityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* Mounts of a container: `files` is the ConfigMap, `logs` the task logs, for the pods that write them and the API server,
     which shows them. Calling convention: (dict "root" $ "files" true "logs" true) */}}
{{- define "user-insights.airflow.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{ include "user-insights.stores.mount" .root }}
{{- if .files }}
- {name: files, mountPath: /etc/airflow, readOnly: true}
{{- end }}
{{- if and .logs .root.Values.airflow.logs.persistent }}
- {name: logs, mountPath: /var/lib/airflow/logs}
{{- end }}
{{- end -}}

{{/* Calling convention: (dict "root" $ "stores" (list "postgres") "files" true "logs" true "optional" true) */}}
{{- define "user-insights.airflow.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 512Mi}}
{{ include "user-insights.stores.volume" . }}
{{- if .files }}
- {name: files, configMap: {name: {{ include "user-insights.fullname" .root }}-airflow}}
{{- end }}
{{- if and .logs .root.Values.airflow.logs.persistent }}
- {name: logs, persistentVolumeClaim: {claimName: {{ include "user-insights.fullname" .root }}-airflow-logs}}
{{- end }}
{{- end -}}

{{/* Keeps the pods that mount the log volume on one node if it can be attached to one only. Calling convention: $ */}}
{{- define "user-insights.airflow.logs.affinity" -}}
{{- with .Values.airflow.logs -}}
{{- if and .persistent (eq .accessMode "ReadWriteOnce") -}}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          {{- include "user-insights.edge.pods" (dict "root" $ "components" (list "airflow-api-server" "airflow-triggerer" "airflow-task" "airflow-cleanup")) | nindent 10 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Calling convention: $ */}}
{{- define "user-insights.airflow.waitForDatabase" -}}
- name: wait-for-database
  {{- include "user-insights.airflow.container" . | nindent 2 }}
  command: [python, /etc/airflow/wait_for_database.py, {{ .Values.migrations.patienceSeconds | quote }}]
  env:
    {{- include "user-insights.airflow.env" (dict "root" .) | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 32Mi}
    limits: {memory: 128Mi}
  volumeMounts:
    {{- include "user-insights.airflow.mounts" (dict "root" . "files" true) | nindent 4 }}
{{- end -}}

{{/* Waits until the database answers and the scheduler's init container has migrated it; the pod has the volume `files`.
     Calling convention: (dict "root" $ "resources" .Values.airflow.triggerer.resources) */}}
{{- define "user-insights.airflow.waitForMetadata" -}}
{{ include "user-insights.airflow.waitForDatabase" .root }}
- name: wait-for-metadata
  {{- include "user-insights.airflow.container" .root | nindent 2 }}
  command: [airflow, db, check-migrations, --migration-wait-timeout, {{ .root.Values.migrations.patienceSeconds | quote }}]
  env:
    {{- include "user-insights.airflow.env" (dict "root" .root) | nindent 4 }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  volumeMounts:
    {{- include "user-insights.airflow.mounts" (dict "root" .root) | nindent 4 }}
{{- end -}}

{{/* Probes that check the heartbeat in the metadata database, for processes without an HTTP server. Calling convention: the job type */}}
{{- define "user-insights.airflow.heartbeatProbes" -}}
{{- $command := printf "[python, /etc/airflow/heartbeat.py, %s, \"120\"]" . -}}
startupProbe:
  exec: {command: {{ $command }}}
  periodSeconds: 10
  timeoutSeconds: 20
  failureThreshold: 90
livenessProbe:
  exec: {command: {{ $command }}}
  periodSeconds: 60
  timeoutSeconds: 30
  failureThreshold: 5
readinessProbe:
  exec: {command: {{ $command }}}
  periodSeconds: 60
  timeoutSeconds: 30
  failureThreshold: 2
{{- end -}}
