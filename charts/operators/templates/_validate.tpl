{{/* Rejects values that would leave an operator idle or an installation incomplete, each with one sentence. */}}
{{- define "operators.validate" -}}
{{- $watched := include "operators.watched" . | fromYaml -}}
{{- if and .Values.enabled.postgresBackup (not .Values.enabled.postgres) -}}
{{- fail "enabled.postgresBackup is true but enabled.postgres is false, and the plugin needs its operator: enable both, or neither." -}}
{{- end -}}
{{- with index .Values "k8ssandra-operator" -}}
{{- if and $.Values.enabled.cassandra (not (has $.Release.Namespace .global.watchNamespaces)) -}}
{{- fail (printf "k8ssandra-operator.global.watchNamespaces is %s: add %s, the operators' own namespace, without which the operator creates no cluster that Medusa backs up." (join "," .global.watchNamespaces) $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- $first := keys $watched | sortAlpha | first -}}
{{- range $value := keys $watched | sortAlpha -}}
{{- $namespaces := get $watched $value | sortAlpha | join "," -}}
{{- if ne $namespaces (get $watched $first | sortAlpha | join ",") -}}
{{- fail (printf "%s is %s but %s is %s: name the same namespaces in both." $value $namespaces $first (get $watched $first | sortAlpha | join ",")) -}}
{{- end -}}
{{- if has $.Release.Namespace (get $watched $value) -}}
{{- fail (printf "%s contains %s, the operators' own namespace: install the operators in another namespace." $value $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}
{{- include "operators.validate.cluster" . -}}
{{- end -}}
{{- end -}}

{{- define "operators.validate.cluster" -}}
{{- range include "operators.watched" . | fromYaml | values | first | default list -}}
{{- if not (lookup "v1" "Namespace" "" .) -}}
{{- fail (printf "Namespace %s does not exist, but the operators need roles in it: run `kubectl create namespace %s` first." . .) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.enabled.cassandra .Values.enabled.postgresBackup) (not (.Capabilities.APIVersions.Has "cert-manager.io/v1")) -}}
{{- fail "This cluster has no cert-manager, which enabled.cassandra and enabled.postgresBackup need: install it first, or set both to false." -}}
{{- end -}}
{{- end -}}
