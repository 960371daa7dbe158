{{/* What the values add to the pods of a component: `pods.all`, and those of the component, which take precedence, as YAML.
     Calling convention: (dict "root" $ "component" "airflow-task") */}}
{{- define "user-insights.pods.additions" -}}
{{- $all := .root.Values.pods.all -}}
{{- $own := get .root.Values.pods (include "user-insights.valueKey" .component) -}}
{{- $additions := dict -}}
{{- range $field := list "envFrom" "volumes" "volumeMounts" "tolerations" -}}
{{- $_ := set $additions $field (concat (get $all $field | default list) (get $own $field | default list)) -}}
{{- end -}}
{{- range $field := list "nodeSelector" "labels" "annotations" -}}
{{- $_ := set $additions $field (merge (dict) (get $own $field | default dict) (get $all $field | default dict)) -}}
{{- end -}}
{{- $_ := set $additions "annotations" (merge $additions.annotations .root.Values.podAnnotations) -}}
{{- range $field := list "affinity" "topologySpreadConstraints" "priorityClassName" -}}
{{- $_ := set $additions $field (coalesce (get $own $field) (get $all $field)) -}}
{{- end -}}
{{- $_ := set $additions "env" (include "user-insights.pods.env" (dict "env" (get $all "env") "added" (get $own "env")) | fromYamlArray) -}}
{{- toYaml $additions -}}
{{- end -}}

{{/* Environment variables, of which those that are added replace others of the same name, as a YAML list.
     Calling convention: (dict "env" (list) "added" (list)) */}}
{{- define "user-insights.pods.env" -}}
{{- $added := default list .added -}}
{{- $names := list -}}
{{- range $added -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $variables := list -}}
{{- range default list .env -}}
{{- if not (has .name $names) -}}
{{- $variables = append $variables . -}}
{{- end -}}
{{- end -}}
{{- concat $variables $added | toYaml -}}
{{- end -}}

{{/* Adds environment and mounts to a container, and returns nothing. Calling convention: (dict "container" . "additions" $additions) */}}
{{- define "user-insights.pods.extendContainer" -}}
{{- $container := .container -}}
{{- if .additions.env -}}
{{- $_ := set $container "env" (include "user-insights.pods.env" (dict "env" $container.env "added" .additions.env) | fromYamlArray) -}}
{{- end -}}
{{- range $field := list "envFrom" "volumeMounts" -}}
{{- with get $.additions $field -}}
{{- $_ := set $container $field (concat (get $container $field | default list) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Adds what decides where a pod runs, and returns nothing. Calling convention: (dict "fields" $pod.spec "additions" $additions) */}}
{{- define "user-insights.pods.place" -}}
{{- $fields := .fields -}}
{{- with .additions.nodeSelector -}}
{{- $_ := set $fields "nodeSelector" (merge (dict) . (get $fields "nodeSelector" | default dict)) -}}
{{- end -}}
{{- with .additions.tolerations -}}
{{- $_ := set $fields "tolerations" (concat (get $fields "tolerations" | default list) .) -}}
{{- end -}}
{{- with .additions.affinity -}}
{{- $_ := set $fields "affinity" (merge (dict) . (get $fields "affinity" | default dict)) -}}
{{- end -}}
{{- with .additions.priorityClassName -}}
{{- $_ := set $fields "priorityClassName" . -}}
{{- end -}}
{{- end -}}

{{/* Adds labels and annotations, and returns nothing; those that the chart sets stay.
     Calling convention: (dict "metadata" $pod.metadata "additions" $additions) */}}
{{- define "user-insights.pods.mark" -}}
{{- $metadata := .metadata -}}
{{- range $field := list "labels" "annotations" -}}
{{- with get $.additions $field -}}
{{- $_ := set $metadata $field (merge (dict) (get $metadata $field | default dict) .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A pod, or a pod's template, with what the values add to it. Calling convention: (dict "root" $ "component" "publisher" "pod" $text) */}}
{{- define "user-insights.pods.extend" -}}
{{- $pod := fromYaml .pod -}}
{{- $additions := include "user-insights.pods.additions" . | fromYaml -}}
{{- include "user-insights.pods.mark" (dict "metadata" $pod.metadata "additions" $additions) -}}
{{- include "user-insights.pods.place" (dict "fields" $pod.spec "additions" $additions) -}}
{{- with $additions.topologySpreadConstraints -}}
{{- $_ := set $pod.spec "topologySpreadConstraints" . -}}
{{- end -}}
{{- with $additions.volumes -}}
{{- $_ := set $pod.spec "volumes" (concat (get $pod.spec "volumes" | default list) .) -}}
{{- end -}}
{{- range concat (get $pod.spec "initContainers" | default list) $pod.spec.containers -}}
{{- include "user-insights.pods.extendContainer" (dict "container" . "additions" $additions) -}}
{{- end -}}
{{- toYaml $pod -}}
{{- end -}}

{{/* The driver or an executor of a SparkApplication with what the values add to it; its volumes are the application's.
     Calling convention: (dict "root" $ "component" "stream" "role" $text) */}}
{{- define "user-insights.pods.extendRole" -}}
{{- $role := fromYaml .role -}}
{{- $additions := include "user-insights.pods.additions" . | fromYaml -}}
{{- include "user-insights.pods.mark" (dict "metadata" $role "additions" $additions) -}}
{{- include "user-insights.pods.place" (dict "fields" $role "additions" $additions) -}}
{{- with $additions.topologySpreadConstraints -}}
{{- $_ := set $role.template.spec "topologySpreadConstraints" . -}}
{{- end -}}
{{- range prepend (get $role "initContainers" | default list) $role -}}
{{- include "user-insights.pods.extendContainer" (dict "container" . "additions" $additions) -}}
{{- end -}}
{{- toYaml $role -}}
{{- end -}}
