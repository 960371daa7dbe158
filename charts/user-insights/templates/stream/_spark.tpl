{{/* Fields that driver and executors have in common. */}}
{{- define "user-insights.stream.pod" -}}
podSecurityContext:
  {{- include "user-insights.podSecurityContext" 185 | nindent 2 }}
securityContext:
  {{- include "user-insights.containerSecurityContext" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "user-insights.stream.sparkConf" -}}
{{- $conf := dict
  "spark.driver.extraJavaOptions" "-XX:+UseSerialGC -Duser.timezone=UTC -Duser.language=en"
  "spark.executor.extraJavaOptions" "-XX:+UseSerialGC -Duser.timezone=UTC -Duser.language=en"
  "spark.kubernetes.allocation.driver.readinessTimeout" "60s"
  "spark.kubernetes.driver.service.deleteOnTermination" "true"
  "spark.kubernetes.driver.podTemplateContainerName" "spark-kubernetes-driver"
  "spark.kubernetes.executor.podTemplateContainerName" "spark-kubernetes-executor"
-}}
{{- with .Values.stream.checkpoint.endpointURL -}}
{{- $conf = merge $conf (dict "spark.hadoop.fs.s3a.endpoint" . "spark.hadoop.fs.s3a.path.style.access" "true") -}}
{{- end -}}
{{- merge (deepCopy .Values.stream.sparkConf) $conf | toYaml -}}
{{- end -}}

{{/* A size in Java's notation, such as `768m` or `2g`, in MiB. */}}
{{- define "user-insights.mebibytes" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- ternary (mul $number 1024) $number (hasSuffix "g" (lower .)) -}}
{{- end -}}
