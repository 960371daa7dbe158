{{- define "user-insights.cassandra.generatedSecrets" -}}
{{- range $user := list "ingest" "stream" "dashboard" }}
- name: {{ include "user-insights.store.secret" (dict "root" $ "store" "cassandra" "user" $user) }}
  type: kubernetes.io/basic-auth
  values: {username: insights_{{ $user }}}
  generate: {password: password}
{{- end }}
{{- if .Values.cassandra.tls.enabled }}
- name: {{ include "user-insights.fullname" . }}-cassandra-keystore
  generate: {keystore-password: password}
{{- end }}
{{- end -}}
