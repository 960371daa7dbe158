{{/* The Cassandra role of each user that the migrations create. */}}
{{- define "user-insights.cassandra.roles" -}}
ingest: insights_ingest
stream: insights_stream
dashboard: insights_dashboard
{{- if .Values.readers.enabled }}
reader: insights_reader
{{- end }}
{{- end -}}

{{- define "user-insights.cassandra.generatedSecrets" -}}
{{- range $user, $role := include "user-insights.cassandra.roles" . | fromYaml }}
- name: {{ include "user-insights.store.secret" (dict "root" $ "store" "cassandra" "user" $user) }}
  type: kubernetes.io/basic-auth
  values: {username: {{ $role }}}
  generate: {password: password}
{{- end }}
{{- if .Values.cassandra.tls.enabled }}
- name: {{ include "user-insights.fullname" . }}-cassandra-keystore
  generate: {keystore-password: password}
{{- end }}
{{- end -}}
