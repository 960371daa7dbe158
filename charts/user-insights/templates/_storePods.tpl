{{/* Labels of a resource whose operator copies them to its pods. They leave out the chart's version, because each
     upgrade would restart the pods.
     Calling convention: (dict "root" $ "component" "kafka") */}}
{{- define "user-insights.storeLabels" -}}
{{ include "user-insights.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{/* For containers whose images write to the root file system. */}}
{{- define "user-insights.storeContainerSecurityContext" -}}
allowPrivilegeEscalation: false
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}
