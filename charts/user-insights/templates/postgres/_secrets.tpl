{{/* The PostgreSQL role of each user. */}}
{{- define "user-insights.postgres.roles" -}}
migrations: insights
ingest: insights_ingest
publisher: insights_publisher
stream: insights_stream
dashboard: insights_dashboard
{{- if .Values.readers.enabled }}
reader: insights_reader
{{- end }}
{{- end -}}

{{/* One Secret per role. CloudNativePG applies a changed password only to Secrets with the reload label. */}}
{{- define "user-insights.postgres.generatedSecrets" -}}
{{- range $user, $role := include "user-insights.postgres.roles" . | fromYaml }}
- name: {{ include "user-insights.store.secret" (dict "root" $ "store" "postgres" "user" $user) }}
  type: kubernetes.io/basic-auth
  labels: {cnpg.io/reload: "true"}
  values: {username: {{ $role }}}
  generate: {password: password}
{{- end }}
{{- end -}}
