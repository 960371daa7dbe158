{{/* Rejects values whose faults the operator would report only after pods have failed to start. */}}
{{- define "user-insights.cassandra.validate" -}}
{{- $values := .Values.cassandra -}}
{{- $name := printf "%s-cassandra" (include "user-insights.fullname" .) -}}
{{- range default (list (dict "name" "default")) $values.racks -}}
{{- $set := printf "%s-%s-%s-sts" $name $values.datacenter .name -}}
{{- if gt (len $set) 52 -}}
{{- fail (printf "Cassandra's pods would be named %s-0, which is %d characters too long: shorten fullnameOverride, cassandra.datacenter or the rack's name." $set (sub (len $set) 52)) -}}
{{- end -}}
{{- end -}}
{{- $found := lookup "cassandra.datastax.com/v1beta1" "CassandraDatacenter" .Release.Namespace $values.datacenter -}}
{{- if and $found (ne (dig "spec" "clusterName" "" $found) $name) -}}
{{- fail (printf "Namespace %s already has a CassandraDatacenter %q, of cluster %q: set cassandra.datacenter to another name." .Release.Namespace $values.datacenter (dig "spec" "clusterName" "" $found)) -}}
{{- end -}}
{{- end -}}
