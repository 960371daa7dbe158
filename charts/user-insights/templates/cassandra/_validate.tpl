{{/* What the operator finds out only when pods do not start. */}}
{{- define "user-insights.cassandra.validate" -}}
{{- $values := .Values.cassandra -}}
{{- $name := printf "%s-cassandra" (include "user-insights.fullname" .) -}}
{{- range default (list (dict "name" "default")) $values.racks -}}
{{- $set := printf "%s-%s-%s-sts" $name $values.datacenter .name -}}
{{- if gt (len $set) 52 -}}
{{- fail (printf "Cassandra's pods would be called %s-0, %d characters too long: set fullnameOverride, cassandra.datacenter or a rack's name to something shorter." $set (sub (len $set) 52)) -}}
{{- end -}}
{{- end -}}
{{- $found := lookup "cassandra.datastax.com/v1beta1" "CassandraDatacenter" .Release.Namespace $values.datacenter -}}
{{- if and $found (ne (dig "spec" "clusterName" "" $found) $name) -}}
{{- fail (printf "Namespace %s has a CassandraDatacenter %q of cluster %q already: set cassandra.datacenter to another name." .Release.Namespace $values.datacenter (dig "spec" "clusterName" "" $found)) -}}
{{- end -}}
{{- end -}}
