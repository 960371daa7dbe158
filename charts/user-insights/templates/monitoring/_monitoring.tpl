{{/* Metadata of an object that Prometheus selects by its labels. Calling convention: (dict "root" $ "name" "stream") */}}
{{- define "user-insights.monitoring.metadata" -}}
name: {{ .name }}
labels:
  {{- include "user-insights.labels" (dict "root" .root "component" "monitoring") | nindent 2 }}
  {{- with .root.Values.monitoring.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The stores that operators run for this release, and `backup` if PostgreSQL is backed up, as a YAML list. */}}
{{- define "user-insights.monitoring.parts" -}}
{{- $parts := list -}}
{{- range list "postgres" "kafka" "cassandra" -}}
{{- if not (get $.Values .).external.enabled -}}
{{- $parts = append $parts . -}}
{{- end -}}
{{- end -}}
{{- if and (has "postgres" $parts) .Values.postgres.backup.enabled -}}
{{- $parts = append $parts "backup" -}}
{{- end -}}
{{- if and (has "postgres" $parts) .Values.postgres.synchronousReplicas -}}
{{- $parts = append $parts "synchronous" -}}
{{- end -}}
{{- $parts | toYaml -}}
{{- end -}}
