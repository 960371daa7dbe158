{{/* A pool's pods are called `<cluster>-<pool>-<number>`: short enough for a label, and of one release alone.
     Calling convention: (dict "root" $ "role" "brokers") */}}
{{- define "user-insights.kafka.poolName" -}}
{{- printf "%s-%s" .role (include "user-insights.fullname" .root | sha256sum | trunc 6) -}}
{{- end -}}
