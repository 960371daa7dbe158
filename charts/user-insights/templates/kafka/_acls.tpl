{{/* Calling convention: (dict "topic" "users.raw" "operations" (list "Read")) */}}
{{- define "user-insights.kafka.topicAcl" -}}
- resource: {type: topic, name: {{ .topic }}, patternType: literal}
  operations: {{ toJson .operations }}
{{- end -}}

{{/* Calling convention: (dict "prefix" "insights-ledger-" "operations" (list "Describe")) */}}
{{- define "user-insights.kafka.groupAcl" -}}
- resource: {type: group, name: {{ .prefix }}, patternType: prefix}
  operations: {{ toJson .operations }}
{{- end -}}

{{- define "user-insights.kafka.acls.publisher" -}}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .raw "operations" (list "Write" "Describe" "DescribeConfigs")) }}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .quarantine "operations" (list "Write" "Describe")) }}
{{- end -}}

{{- define "user-insights.kafka.acls.stream" -}}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .raw "operations" (list "Read" "Describe" "DescribeConfigs")) }}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .quarantine "operations" (list "Write" "Describe")) }}
{{ include "user-insights.kafka.groupAcl" (dict "prefix" "spark-kafka-source" "operations" (list "Read")) }}
{{- end -}}

{{/* The ledger reads partitions without joining a group, but its client still looks up the group's coordinator. */}}
{{- define "user-insights.kafka.acls.ingest" -}}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .raw "operations" (list "Read" "Write" "Describe")) }}
{{ include "user-insights.kafka.groupAcl" (dict "prefix" "insights-ledger-" "operations" (list "Describe")) }}
{{- end -}}

{{- define "user-insights.kafka.acls.dashboard" -}}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .raw "operations" (list "Read" "Describe")) }}
{{ include "user-insights.kafka.topicAcl" (dict "topic" .quarantine "operations" (list "Read" "Describe")) }}
{{ include "user-insights.kafka.groupAcl" (dict "prefix" "insights-ledger-" "operations" (list "Describe")) }}
{{ include "user-insights.kafka.groupAcl" (dict "prefix" "insights-dashboard-" "operations" (list "Describe")) }}
{{- end -}}
