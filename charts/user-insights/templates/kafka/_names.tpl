{{/* The pods of a pool are named `<cluster>-<pool>-<number>`, which must fit into a label; the hash makes the name unique to a
     release.
     Calling convention: (dict "root" $ "role" "brokers") */}}
{{- define "user-insights.kafka.poolName" -}}
{{- printf "%s-%s" .role (include "user-insights.fullname" .root | sha256sum | trunc 6) -}}
{{- end -}}
