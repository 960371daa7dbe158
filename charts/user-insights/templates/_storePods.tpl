{{/* Labels of a resource whose operator copies them to pods: a label that follows the chart's version would restart them.
     Calling convention: (dict "root" $ "component" "kafka") */}}
{{- define "user-insights.storeLabels" -}}
{{ include "user-insights.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* For containers whose images write to their root file system. */}}
{{- define "user-insights.storeContainerSecurityContext" -}}
allowPrivilegeEscalation: false
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
