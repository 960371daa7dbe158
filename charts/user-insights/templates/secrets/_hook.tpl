{{/* Runs before everything else. A failed run leaves its objects for inspection; the next run replaces them.
     Calling convention: the weight */}}
{{- define "user-insights.secrets.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* The Secrets that are generated once, as a YAML list. */}}
{{- define "user-insights.secrets.list" -}}
{{- if not .Values.postgres.external.enabled }}
{{ include "user-insights.postgres.generatedSecrets" . }}
{{- end }}
{{- if not .Values.cassandra.external.enabled }}
{{ include "user-insights.cassandra.generatedSecrets" . }}
{{- end }}
{{- if and (eq .Values.stream.runner "sparkOperator") (not .Values.stream.existingSecret) }}
- name: {{ include "user-insights.stream.secret" . }}
  generate: {secret: password}
{{- end }}
{{- if and .Values.airflow.enabled (not .Values.airflow.existingKeysSecret) }}
- name: {{ include "user-insights.fullname" . }}-airflow-keys
  generate: {fernet-key: fernet-key, jwt-secret: password, api-secret-key: password}
{{- end }}
{{- if and .Values.airflow.enabled (not .Values.airflow.admin.existingSecret) }}
- name: {{ include "user-insights.fullname" . }}-airflow-admin
  values: {username: {{ .Values.airflow.admin.username | quote }}}
  generate: {password: password}
{{- end }}
{{- if and .Values.airflow.enabled (not .Values.airflow.dashboardUser.existingSecret) }}
- name: {{ include "user-insights.airflow.dashboardSecret" . }}
  generate: {password: password}
{{- end }}
{{- end -}}
