{{/* Metadata of an object that Prometheus selects by its labels. Calling convention: (dict "root" $ "name" "stream") */}}
{{- define "user-insights.monitoring.metadata" -}}
name: {{ .name }}
labels:
  {{- include "user-insights.labels" (dict "root" .root "component" "monitoring") | nindent 2 }}
  {{- with .root.Values.monitoring.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The stores that operators run for this release, and `backup` if PostgreSQL is backed up, as a YAML list. */}}
{{- define "user-insights.monitoring.parts" -}}
{{- $parts := list -}}
{{- range list "postgres" "kafka" "cassandra" -}}
{{- if not (get $.Values .).external.enabled -}}
{{- $parts = append $parts . -}}
{{- end -}}
{{- end -}}
{{- if and (has "postgres" $parts) .Values.postgres.backup.enabled -}}
{{- $parts = append $parts "backup" -}}
{{- end -}}
{{- if and (has "postgres" $parts) .Values.postgres.synchronousReplicas -}}
{{- $parts = append $parts "synchronous" -}}
{{- end -}}
{{- $parts | toYaml -}}
{{- end -}}

{{/* The metrics of Cassandra that are kept. A node has more than 20,000 series, most of them buckets of latencies of every table. */}}
{{- define "user-insights.monitoring.cassandraMetrics" -}}
{{- $requests := "client_request_(latency|timeouts|unavailables|failures)(_bucket|_count|_sum|_total)?" -}}
{{- $storage := "storage_(load|exceptions|total_hints|total_hints_in_progress)(_total)?" -}}
{{- $tables := "table_(live_disk_space_used|live_ss_table_count|pending_compactions)" -}}
{{- $others := list "client_connected_native_clients" "compaction_(pending|completed)_tasks" "thread_pools_(active|pending)_tasks" "dropped_message_dropped_total" -}}
{{- printf "jvm_.+|org_apache_cassandra_metrics_(%s)" (concat (list $requests $storage $tables) $others | join "|") -}}
{{- end -}}
