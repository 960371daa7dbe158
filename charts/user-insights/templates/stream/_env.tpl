{{/* Environment of the stream's driver, for either runner. */}}
{{- define "user-insights.stream.env" -}}
- name: INSIGHTS_STREAM_HTTP_HOST
  value: "0.0.0.0"
- name: INSIGHTS_STREAM_CHECKPOINT
  value: {{ default "/var/lib/insights/checkpoint" .Values.stream.checkpoint.uri | quote }}
- name: INSIGHTS_STREAM_TRIGGER_SECONDS
  value: {{ .Values.stream.triggerSeconds | quote }}
- name: INSIGHTS_STREAM_MAX_OFFSETS_PER_TRIGGER
  value: {{ .Values.stream.maxOffsetsPerTrigger | int64 | quote }}
{{- with .Values.stream.checkpoint.existingSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $.Values.stream.checkpoint.existingSecret }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{ include "user-insights.telemetry.env" . | trim }}
{{ include "user-insights.stores.env" (dict "root" $ "user" "stream" "stores" (list "postgres" "kafka" "cassandra")) | trim }}
{{- end -}}

{{- define "user-insights.stream.wait" -}}
{{- include "user-insights.waitForSchema" (dict "root" $ "user" "stream" "stores" (list "postgres" "cassandra" "kafka")) -}}
{{- end -}}

{{/* Volumes of the stream's driver. */}}
{{- define "user-insights.stream.volumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 2Gi}}
{{- if not .Values.stream.checkpoint.uri }}
- name: checkpoint
  persistentVolumeClaim:
    claimName: {{ include "user-insights.fullname" . }}-stream-checkpoint
{{- end }}
{{ include "user-insights.stores.volume" (dict "root" $ "stores" (list "postgres" "kafka" "cassandra")) }}
{{- end -}}

{{- define "user-insights.stream.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if not .Values.stream.checkpoint.uri }}
- {name: checkpoint, mountPath: /var/lib/insights}
{{- end }}
{{ include "user-insights.stores.mount" . }}
{{- end -}}

{{- define "user-insights.stream.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: 8086}
  periodSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: 8086}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
