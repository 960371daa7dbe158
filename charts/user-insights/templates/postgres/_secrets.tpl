{{/* Role of each user in PostgreSQL. */}}
{{- define "user-insights.postgres.roles" -}}
migrations: insights
ingest: insights_ingest
publisher: insights_publisher
stream: insights_stream
dashboard: insights_dashboard
{{- end -}}

{{/* One login per role; the operator sets a changed password only where the label asks for it. */}}
{{- define "user-insights.postgres.generatedSecrets" -}}
{{- range $user, $role := include "user-insights.postgres.roles" . | fromYaml }}
- name: {{ include "user-insights.store.secret" (dict "root" $ "store" "postgres" "user" $user) }}
  type: kubernetes.io/basic-auth
  labels: {cnpg.io/reload: "true"}
  values: {username: {{ $role }}}
  generate: {password: password}
{{- end }}
{{- end -}}
