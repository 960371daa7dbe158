{{/* The containers that K8ssandra adds. Without these requests, the init container that writes a file would request a whole CPU. */}}
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

{{/* The racks; if none are configured, the one that K8ssandra names `default`. */}}
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

{{/* Name of the storage class: that of the values, of the existing cluster, whose class cannot change, or the default class.
     Empty where Helm cannot look that up: Kubernetes then chooses it, but the operator cannot enlarge the volumes. */}}
{{- define "user-insights.cassandra.storageClass" -}}
{{- $name := .Values.cassandra.storageClass -}}
{{- if not $name -}}
{{- $cluster := lookup "cassandra.datastax.com/v1beta1" "CassandraDatacenter" .Release.Namespace .Values.cassandra.datacenter -}}
{{- $name = dig "spec" "storageConfig" "cassandraDataVolumeClaimSpec" "storageClassName" "" $cluster -}}
{{- end -}}
{{- if not $name -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- if eq (dig "metadata" "annotations" "storageclass.kubernetes.io/is-default-class" "" .) "true" -}}
{{- $name = .metadata.name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{/* Where the certificates and their password are; takes the cluster's name. */}}
{{- define "user-insights.cassandra.keyStores" -}}
keystoreSecretRef: {name: {{ . }}-tls, key: keystore.jks}
keystorePasswordSecretRef: {name: {{ . }}-keystore, key: keystore-password}
truststoreSecretRef: {name: {{ . }}-tls, key: truststore.jks}
truststorePasswordSecretRef: {name: {{ . }}-keystore, key: keystore-password}
{{- end -}}

{{/* How nodes encrypt what they send each other; empty if they do not. K8ssandra mounts the certificates unless the
     encryption is `none`: `dc` encrypts between data centres, of which there is one. */}}
{{- define "user-insights.cassandra.internode" -}}
{{- $mode := .Values.cassandra.tls.internode -}}
{{- if ne $mode "none" -}}
internode_encryption: {{ ternary "dc" "all" (eq $mode "accepted") }}
optional: {{ ne $mode "required" }}
require_client_auth: true
{{- end -}}
{{- end -}}

{{/* K8ssandra names Medusa's PEM files after Java key stores. In order, they are the CA certificate, the certificate and the key. */}}
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
