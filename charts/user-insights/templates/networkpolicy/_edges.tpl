{{/* Name and labels of a NetworkPolicy. Calling convention: (dict "root" $ "edge" "to-kafka") */}}
{{- define "user-insights.edge.metadata" -}}
name: {{ include "user-insights.fullname" .root }}-{{ .edge }}
labels:
  {{- include "user-insights.labels" (dict "root" .root "component" "networkpolicy") | nindent 2 }}
{{- end -}}

{{/* Selects the platform's pods of the given components. Calling convention: (dict "root" $ "components" (list "publisher")) */}}
{{- define "user-insights.edge.pods" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "user-insights.name" .root }}
  app.kubernetes.io/instance: {{ .root.Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: [{{ join ", " .components }}]
{{- end -}}

{{/* The components that connect to each store. */}}
{{- define "user-insights.edge.users" -}}
postgres: [publisher, exporter, toolbox, stream, stream-executor, dashboard, migrations, test, airflow-api-server, airflow-scheduler, airflow-dag-processor, airflow-triggerer, airflow-cleanup, check-schema, airflow-task]
kafka: [publisher, exporter, toolbox, stream, stream-executor, dashboard, migrations, test, airflow-task]
cassandra: [toolbox, stream, stream-executor, dashboard, migrations, test, airflow-task]
{{- end -}}

{{/* Labels of the pods that an operator creates for a store. Calling convention: (dict "root" $ "store" "postgres") */}}
{{- define "user-insights.edge.storeLabels" -}}
{{- $fullname := include "user-insights.fullname" .root -}}
{{- if eq .store "postgres" -}}
cnpg.io/cluster: {{ $fullname }}-postgres
{{- else if eq .store "kafka" -}}
strimzi.io/cluster: {{ $fullname }}
{{- else -}}
cassandra.datastax.com/cluster: {{ $fullname }}-cassandra
{{- end -}}
{{- end -}}

{{/* Ports of a store, as a YAML list. Calling convention: (dict "root" $ "store" "kafka") */}}
{{- define "user-insights.edge.storePorts" -}}
{{- $external := (get .root.Values .store).external -}}
{{- $ports := list -}}
{{- if not $external.enabled -}}
{{- $ports = list (get (dict "postgres" 5432 "kafka" 9093 "cassandra" 9042) .store) -}}
{{- else if eq .store "kafka" -}}
{{- range splitList "," $external.bootstrapServers -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) -}}
{{- end -}}
{{- else -}}
{{- $ports = list (int $external.port) -}}
{{- end -}}
{{- range $ports | uniq }}
- {protocol: TCP, port: {{ . }}}
{{- end -}}
{{- end -}}

{{/* Peers by address: external stores, the API and the login provider. */}}
{{- define "user-insights.edge.outside" -}}
{{- range .Values.networkPolicy.externalCidrs }}
- ipBlock: {cidr: {{ . }}}
{{- end -}}
{{- end -}}

{{/* Pods of the namespaces that have these labels; of any namespace if there are no labels. */}}
{{- define "user-insights.edge.namespaces" -}}
- namespaceSelector:
    {{- if . }}
    matchLabels:
      {{- toYaml . | nindent 6 }}
    {{- else }} {}
    {{- end }}
{{- end -}}

{{/* A policy that lets components connect to TCP ports outside; with `namespaces` also to those of pods in any namespace.
     Calling convention: (dict "root" $ "edge" "to-logs" "components" (list "stream") "ports" (list 443) "namespaces" true) */}}
{{- define "user-insights.edge.toOutside" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "user-insights.edge.metadata" (dict "root" .root "edge" .edge) | nindent 2 }}
spec:
  podSelector:
    {{- include "user-insights.edge.pods" (dict "root" .root "components" .components) | nindent 4 }}
  policyTypes: [Egress]
  egress:
    - ports:
        {{- range .ports }}
        - {protocol: TCP, port: {{ . }}}
        {{- end }}
      {{- with include "user-insights.edge.outside" .root | trim }}
      to:
        {{- if $.namespaces }}
        {{- include "user-insights.edge.namespaces" dict | nindent 8 }}
        {{- end }}
        {{- . | nindent 8 }}
      {{- end }}
{{- end -}}

{{/* The port of a URL. Calling convention: the URL */}}
{{- define "user-insights.edge.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}
