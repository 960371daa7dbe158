{{/* The platform's namespaces that each enabled operator watches, keyed by the value that lists them. */}}
{{- define "operators.watched" -}}
{{- $values := .Values -}}
{{- $watched := dict -}}
{{- if $values.enabled.kafka -}}
{{- $watched = set $watched "strimzi-kafka-operator.watchNamespaces" (index $values "strimzi-kafka-operator").watchNamespaces -}}
{{- end -}}
{{- if $values.enabled.postgres -}}
{{- $watched = set $watched "cloudnative-pg.config.data.WATCH_NAMESPACE" (splitList "," (index $values "cloudnative-pg").config.data.WATCH_NAMESPACE) -}}
{{- end -}}
{{- if $values.enabled.cassandra -}}
{{- $watched = set $watched "k8ssandra-operator.global.watchNamespaces" (without (index $values "k8ssandra-operator").global.watchNamespaces .Release.Namespace) -}}
{{- end -}}
{{- if $values.enabled.spark -}}
{{- $watched = set $watched "spark-operator.spark.jobNamespaces" (index $values "spark-operator").spark.jobNamespaces -}}
{{- end -}}
{{- toYaml $watched -}}
{{- end -}}
