{{/* The pod that KubernetesExecutor creates for a task; it adds the pod's name and the arguments of the container `base`. */}}
{{- define "user-insights.airflow.podTemplate" -}}
{{- include "user-insights.pods.extend" (dict "root" . "component" "airflow-task" "pod" (include "user-insights.airflow-task.pod" .)) -}}
{{- end -}}

{{- define "user-insights.airflow-task.pod" -}}
{{- $component := dict "root" . "component" "airflow-task" -}}
apiVersion: v1
kind: Pod
metadata:
  name: airflow-task
  labels:
    {{- include "user-insights.podLabels" $component | nindent 4 }}
spec:
  {{- include "user-insights.podSpec" (dict "root" . "uid" 10001) | nindent 2 }}
  {{- with include "user-insights.airflow.logs.affinity" . }}
  {{- . | nindent 2 }}
  {{- end }}
  restartPolicy: Never
  serviceAccountName: {{ include "user-insights.componentName" $component }}
  automountServiceAccountToken: true
  containers:
    - name: base
      {{- include "user-insights.airflow.container" . | nindent 6 }}
      env:
        {{- include "user-insights.airflow.taskEnv" . | trim | nindent 8 }}
      resources:
        {{- toYaml .Values.airflow.task.resources | nindent 8 }}
      volumeMounts:
        {{- include "user-insights.airflow.mounts" (dict "root" . "logs" true) | nindent 8 }}
  volumes:
    {{- include "user-insights.airflow.volumes" (dict "root" . "stores" (list "postgres" "kafka" "cassandra") "logs" true) | nindent 4 }}
{{- end -}}
