{{/* Calling convention: (dict "root" $ "name" "brokers-1a2b3c" "roles" (list "broker") "values" .Values.kafka.brokers) */}}
{{- define "user-insights.kafka.pool" -}}
{{- $kafka := .root.Values.kafka -}}
replicas: {{ .values.replicas }}
roles: {{ toJson .roles }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- with .values.heap }}
jvmOptions: {-Xms: {{ . }}, -Xmx: {{ . }}}
{{- end }}
storage:
  type: jbod
  volumes:
    - id: 0
      type: persistent-claim
      size: {{ .values.storage }}
      {{- with $kafka.brokers.storageClass }}
      class: {{ . }}
      {{- end }}
      kraftMetadata: shared
      deleteClaim: {{ $kafka.deleteClaims }}
template:
  pod:
    {{- include "user-insights.kafka.pod" .root | nindent 4 }}
    topologySpreadConstraints:
      {{- with $kafka.rackTopologyKey }}
      - maxSkew: 1
        topologyKey: {{ . }}
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {strimzi.io/pool-name: {{ $.name }}}}
      {{- end }}
      - maxSkew: 1
        topologyKey: {{ .root.Values.topologyKey }}
        whenUnsatisfiable: ScheduleAnyway
        labelSelector: {matchLabels: {strimzi.io/pool-name: {{ .name }}}}
  kafkaContainer:
    securityContext:
      {{- include "user-insights.storeContainerSecurityContext" . | nindent 6 }}
  initContainer:
    securityContext:
      {{- include "user-insights.storeContainerSecurityContext" . | nindent 6 }}
{{- end -}}

{{/* A Strimzi pod template. Strimzi's images run with group 0. Calling convention: $ */}}
{{- define "user-insights.kafka.pod" -}}
metadata:
  labels:
    app.kubernetes.io/part-of: user-insights
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  fsGroup: 0
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            {{- range $label, $value := . }}
            - {key: {{ $label }}, operator: In, values: [{{ $value | quote }}]}
            {{- end }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
