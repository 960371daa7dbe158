{{/* The operator's own containers; it asks for a whole CPU for one that writes a file, unless told. */}}
{{- define "user-insights.cassandra.containers" -}}
initContainers:
  {{- range list "server-config-init-base" "server-config-init" }}
  - name: {{ . }}
    securityContext:
      {{- include "user-insights.storeContainerSecurityContext" $ | nindent 6 }}
    resources:
      requests: {cpu: 100m, memory: 256Mi}
      limits: {memory: 384Mi}
  {{- end }}
containers:
  - name: cassandra
    securityContext:
      {{- include "user-insights.storeContainerSecurityContext" . | nindent 6 }}
  - name: server-system-logger
    securityContext:
      {{- include "user-insights.storeContainerSecurityContext" . | nindent 6 }}
    resources:
      requests: {cpu: 10m, memory: 64Mi}
      limits: {memory: 128Mi}
{{- end -}}

{{/* One rack of the operator's own name when none is given. */}}
{{- define "user-insights.cassandra.racks" -}}
{{- range default (list (dict "name" "default")) .Values.cassandra.racks }}
{{- $labels := deepCopy $.Values.nodeSelector }}
{{- if .zone }}
{{- $labels = set $labels "topology.kubernetes.io/zone" .zone }}
{{- end }}
- name: {{ .name }}
  {{- with $labels }}
  nodeAffinityLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The operator names Medusa's PEM files after the stores: authority, certificate and key, in this order. */}}
{{- define "user-insights.cassandra.medusa" -}}
{{- $values := .Values.cassandra -}}
{{- $name := printf "%s-cassandra" (include "user-insights.fullname" .) -}}
medusaConfigurationRef:
  name: {{ $values.backup.medusaConfiguration }}
storageProperties:
  prefix: {{ $values.backup.prefix }}
{{- if $values.tls.enabled }}
clientEncryptionStores:
  keystoreSecretRef: {name: {{ $name }}-tls, key: ca.crt}
  truststoreSecretRef: {name: {{ $name }}-tls, key: tls.crt}
  truststorePasswordSecretRef: {name: {{ $name }}-tls, key: tls.key}
{{- end }}
securityContext:
  {{- include "user-insights.storeContainerSecurityContext" . | nindent 2 }}
containerResources:
  requests: {cpu: 100m, memory: 256Mi}
  limits: {memory: 1Gi}
initContainerResources:
  requests: {cpu: 100m, memory: 256Mi}
  limits: {memory: 1Gi}
{{- end -}}

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
