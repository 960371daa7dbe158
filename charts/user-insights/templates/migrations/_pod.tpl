{{- define "user-insights.migrations.pod" -}}
{{- $stores := list "postgres" "cassandra" -}}
{{- $topics := and .Values.kafka.external.enabled .Values.kafka.external.createTopics -}}
{{- if $topics -}}
{{- $stores = append $stores "kafka" -}}
{{- end -}}
{{- $newLogins := list -}}
{{- range $store := list "postgres" "cassandra" -}}
{{- if not (get $.Values $store).external.enabled -}}
{{- $newLogins = append $newLogins $store -}}
{{- end -}}
{{- end -}}
metadata:
  labels:
    {{- include "user-insights.podLabels" (dict "root" $ "component" "migrations") | nindent 4 }}
spec:
  {{- include "user-insights.podSpec" (dict "root" $ "uid" 10001) | nindent 2 }}
  serviceAccountName: {{ include "user-insights.componentName" (dict "root" $ "component" "platform") }}
  automountServiceAccountToken: false
  restartPolicy: OnFailure
  containers:
    - name: migrate
      {{- include "user-insights.image" (dict "root" $ "name" "publisher") | nindent 6 }}
      command: [python, jobs/migrate.py, --patience, {{ .Values.migrations.patienceSeconds | quote }}{{ if $topics }}, --topics{{ end }}{{ range $newLogins }}, --new-logins, {{ . }}{{ end }}]
      env:
        {{- include "user-insights.stores.env" (dict "root" $ "user" "migrations" "stores" $stores) | nindent 8 }}
        {{- include "user-insights.migrations.access" . | nindent 8 }}
      resources:
        {{- toYaml .Values.migrations.resources | nindent 8 }}
      securityContext:
        {{- include "user-insights.containerSecurityContext" . | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- include "user-insights.stores.mount" . | nindent 8 }}
        {{- if not .Values.cassandra.external.enabled }}
        - {name: passwords, mountPath: /etc/insights/passwords, readOnly: true}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 64Mi}}
    {{- include "user-insights.stores.volume" (dict "root" $ "stores" $stores) | nindent 4 }}
    {{- if not .Values.cassandra.external.enabled }}
    - name: passwords
      projected:
        sources:
          {{- range keys (include "user-insights.cassandra.roles" . | fromYaml) | sortAlpha }}
          - secret:
              name: {{ include "user-insights.store.secret" (dict "root" $ "store" "cassandra" "user" .) }}
              items: [{key: password, path: {{ . }}/password}]
          {{- end }}
    {{- end }}
{{- end -}}

{{/* The logins to which the migrations grant privileges, in stores that the chart creates. */}}
{{- define "user-insights.migrations.access" -}}
{{- if not .Values.postgres.external.enabled }}
- name: INSIGHTS_ACCESS_POSTGRES
  value: {{ omit (include "user-insights.postgres.roles" . | fromYaml) "migrations" | toJson | quote }}
{{- end }}
{{- if not .Values.cassandra.external.enabled }}
- name: INSIGHTS_ACCESS_CASSANDRA
  value: {{ include "user-insights.cassandra.roles" . | fromYaml | toJson | quote }}
- name: INSIGHTS_ACCESS_PASSWORDS
  value: /etc/insights/passwords
{{- end }}
{{- end -}}
