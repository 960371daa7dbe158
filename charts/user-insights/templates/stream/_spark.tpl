{{/* Fields that driver and executors have in common. */}}
{{- define "user-insights.stream.pod" -}}
podSecurityContext:
  {{- include "user-insights.podSecurityContext" (dict "root" $ "uid" 185) | nindent 2 }}
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
  "spark.kubernetes.driver.service.deleteOnTermination" "false"
  "spark.kubernetes.driver.ownPersistentVolumeClaim" "false"
  "spark.kubernetes.driver.reusePersistentVolumeClaim" "false"
  "spark.authenticate" "true"
  "spark.authenticate.secret.file" "/etc/insights/spark/secret"
  "spark.network.crypto.enabled" "true"
  "spark.executor.maxNumFailures" "10"
  "spark.executor.failuresValidityInterval" "10m"
  "spark.kubernetes.driver.podTemplateContainerName" "spark-kubernetes-driver"
  "spark.kubernetes.executor.podTemplateContainerName" "spark-kubernetes-executor"
-}}
{{- merge (include "user-insights.stream.ownSparkConf" . | fromYaml) $conf | toYaml -}}
{{- end -}}

{{/* The Spark configuration that follows from the values, for either runner. */}}
{{- define "user-insights.stream.ownSparkConf" -}}
{{- $conf := dict -}}
{{- with .Values.stream.checkpoint -}}
{{- if .endpointURL -}}
{{- $conf = dict "spark.hadoop.fs.s3a.endpoint" .endpointURL "spark.hadoop.fs.s3a.path.style.access" "true" -}}
{{- end -}}
{{- /* Otherwise the client takes a part of the endpoint's host name for the region that it signs for. */ -}}
{{- with default (ternary "us-east-1" "" (not (empty .endpointURL))) .region -}}
{{- $conf = merge $conf (dict "spark.hadoop.fs.s3a.endpoint.region" .) -}}
{{- end -}}
{{- end -}}
{{- merge (deepCopy .Values.stream.sparkConf) $conf | toYaml -}}
{{- end -}}

{{/* Arguments of spark-submit, which a session that starts a JVM of its own reads. */}}
{{- define "user-insights.stream.submitArguments" -}}
{{- range $name, $value := include "user-insights.stream.ownSparkConf" . | fromYaml -}}
--conf {{ printf "%s=%v" $name $value | replace "'" "'\"'\"'" | replace "$(" "$$(" | squote }}{{ " " }}
{{- end -}}
pyspark-shell
{{- end -}}

{{/* The secret that driver and executors authenticate each other with, and derive the keys of their connections from. */}}
{{- define "user-insights.stream.secret" -}}
{{- default (printf "%s-stream-spark" (include "user-insights.fullname" .)) .Values.stream.existingSecret -}}
{{- end -}}

{{- define "user-insights.stream.secretMount" -}}
- {name: spark-secret, mountPath: /etc/insights/spark, readOnly: true}
{{- end -}}

{{/* A size in Java's notation, such as `768m` or `2g`, in MiB. */}}
{{- define "user-insights.mebibytes" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- ternary (mul $number 1024) $number (hasSuffix "g" (lower .)) -}}
{{- end -}}
