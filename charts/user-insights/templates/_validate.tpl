{{/* Rejects values that cannot work, each with one sentence, before anything is created. */}}
{{- define "user-insights.validate" -}}
{{- include "user-insights.validate.images" . -}}
{{- include "user-insights.validate.stores" . -}}
{{- include "user-insights.validate.components" . -}}
{{- include "user-insights.dashboard.validate" . -}}
{{- if not .Values.cassandra.external.enabled -}}
{{- include "user-insights.cassandra.validate" . -}}
{{- end -}}
{{- if eq (include "user-insights.requiresCrds" .) "true" -}}
{{- include "user-insights.validate.crds" . -}}
{{- end -}}
{{- include "user-insights.validate.secrets" . -}}
{{- end -}}

{{/* A reference without a registry means Docker Hub, where nobody publishes the default repositories. */}}
{{- define "user-insights.validate.images" -}}
{{- $images := .Values.images -}}
{{- $onNodes := or $images.preloaded (eq $images.pullPolicy "Never") -}}
{{- range ternary (list "airflow") list .Values.airflow.enabled | concat (list "publisher" "spark" "dashboard") -}}
{{- $reference := include "user-insights.imageReference" (dict "root" $ "name" .) -}}
{{- if hasPrefix "user-insights/" $reference -}}
{{- if not $onNodes -}}
{{- fail (printf "images.registry is empty, so nodes cannot pull %s: build and push the images with `make push REGISTRY=registry.example.org/team` and add `--set images.registry=registry.example.org/team`, or set images.preloaded to true if every node has the images." $reference) -}}
{{- else if eq $images.pullPolicy "Always" -}}
{{- fail (printf "images.preloaded is true but images.pullPolicy is Always, which pulls %s from a registry that does not have it: set images.pullPolicy to IfNotPresent, or set images.registry." $reference) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.validate.stores" -}}
{{- with .Values.kafka.external -}}
{{- if and .enabled (not .bootstrapServers) -}}
{{- fail "kafka.external.enabled is true but kafka.external.bootstrapServers is empty: set it to the brokers' host:port." -}}
{{- else if and .bootstrapServers (not .enabled) -}}
{{- fail (printf "kafka.external.bootstrapServers is %q but kafka.external.enabled is false: set it to true, or clear the address." .bootstrapServers) -}}
{{- else if and .enabled (contains "SASL" .securityProtocol) (not .existingSecret) (not .existingSecrets) -}}
{{- fail (printf "kafka.external.securityProtocol is %s but kafka.external.existingSecret is empty: name the Secret with username and password." .securityProtocol) -}}
{{- end -}}
{{- end -}}
{{- with .Values.postgres.external -}}
{{- if and .enabled (not .host) -}}
{{- fail "postgres.external.enabled is true but postgres.external.host is empty: set it to the server's name." -}}
{{- else if and .host (not .enabled) -}}
{{- fail (printf "postgres.external.host is %q but postgres.external.enabled is false: set it to true, or clear the host." .host) -}}
{{- else if and .enabled (not .existingSecret) (not .existingSecrets) -}}
{{- fail "postgres.external.enabled is true but postgres.external.existingSecret is empty: name the Secret with username and password." -}}
{{- else if and .enabled (hasPrefix "verify" .sslmode) (not .caSecret) -}}
{{- fail (printf "postgres.external.sslmode is %s but postgres.external.caSecret is empty: name the Secret with ca.crt." .sslmode) -}}
{{- end -}}
{{- end -}}
{{- with .Values.cassandra.external -}}
{{- if and .enabled (not .hosts) -}}
{{- fail "cassandra.external.enabled is true but cassandra.external.hosts is empty: set it to the contact points." -}}
{{- else if and .hosts (not .enabled) -}}
{{- fail (printf "cassandra.external.hosts is %q but cassandra.external.enabled is false: set it to true, or clear the hosts." .hosts) -}}
{{- end -}}
{{- end -}}
{{- with .Values.kafka -}}
{{- if gt (int .topics.minInSyncReplicas) (int .topics.replicas) -}}
{{- fail (printf "kafka.topics.minInSyncReplicas is %d, which exceeds kafka.topics.replicas (%d), so no write could succeed: lower it." (int .topics.minInSyncReplicas) (int .topics.replicas)) -}}
{{- else if and (not .external.enabled) (gt (int .topics.replicas) (int .brokers.replicas)) -}}
{{- fail (printf "kafka.topics.replicas is %d, which exceeds kafka.brokers.replicas (%d): add brokers, or lower it." (int .topics.replicas) (int .brokers.replicas)) -}}
{{- end -}}
{{- end -}}
{{- $cluster := printf "%s-postgres" (include "user-insights.fullname" .) -}}
{{- with .Values.postgres -}}
{{- if and (not .external.enabled) (ge (int .synchronousReplicas) (int .instances)) -}}
{{- fail (printf "postgres.synchronousReplicas is %d but postgres.instances is %d, so no commit could complete: lower it, or add instances." (int .synchronousReplicas) (int .instances)) -}}
{{- else if and (or .backup.enabled .recovery.enabled) (or (not .backup.destinationPath) (and (not .backup.existingSecret) (not .backup.inheritFromIAMRole))) -}}
{{- fail (printf "postgres.%s.enabled is true: also set postgres.backup.destinationPath, and postgres.backup.existingSecret or postgres.backup.inheritFromIAMRole." (ternary "backup" "recovery" .backup.enabled)) -}}
{{- else if and .recovery.enabled .external.enabled -}}
{{- fail "postgres.recovery.enabled and postgres.external.enabled are both true: the chart cannot recover an external server; set one of them to false." -}}
{{- else if and .recovery.enabled .backup.enabled (eq (default $cluster .backup.serverName) (default $cluster .recovery.serverName)) -}}
{{- fail (printf "postgres.backup.serverName and postgres.recovery.serverName both mean %q: the recovered cluster must not archive to the folder that it is recovered from; set another postgres.backup.serverName." (default $cluster .backup.serverName)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.cassandra -}}
{{- if and (not .external.enabled) (gt (int .replicationFactor) (int .size)) -}}
{{- fail (printf "cassandra.replicationFactor is %d, which exceeds cassandra.size (%d): add nodes, or lower it." (int .replicationFactor) (int .size)) -}}
{{- else if and .backup.enabled (not .backup.medusaConfiguration) -}}
{{- fail "cassandra.backup.enabled is true but cassandra.backup.medusaConfiguration is empty: name the MedusaConfiguration." -}}
{{- else if and (not .external.enabled) .softPodAntiAffinity (not (and (dig "requests" "cpu" "" .resources) (dig "requests" "memory" "" .resources) (dig "limits" "cpu" "" .resources) (dig "limits" "memory" "" .resources))) -}}
{{- fail "cassandra.softPodAntiAffinity is true, for which K8ssandra demands that cassandra.resources request and limit both CPU and memory: add what is missing." -}}
{{- else if and (ne .tls.internode "none") (not .tls.enabled) -}}
{{- fail (printf "cassandra.tls.internode is %q but cassandra.tls.enabled is false, which provides the certificates: set it to true, or cassandra.tls.internode to none." .tls.internode) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.validate.components" -}}
{{- range list "dashboard" "airflow" -}}
{{- with (get $.Values .).httpRoute -}}
{{- if and .enabled (not .gateway) -}}
{{- fail (printf "httpRoute.enabled is true for %s but httpRoute.gateway is empty: name the Gateway." .host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.dashboard.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "dashboard.autoscaling.minReplicas is %d, which exceeds dashboard.autoscaling.maxReplicas (%d): lower it." (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- with .Values -}}
{{- if gt (len .fullnameOverride) 26 -}}
{{- fail (printf "fullnameOverride %q has %d characters: shorten it to at most 26, because operators append to it." .fullnameOverride (len .fullnameOverride)) -}}
{{- else if and (not .source.url) (not .source.simulator.enabled) -}}
{{- fail "source.url is empty and source.simulator.enabled is false, so there is nothing to fetch from: set one of them." -}}
{{- else if and .telemetry.otlp.endpoint (not (regexMatch "^https?://[^/]+" .telemetry.otlp.endpoint)) -}}
{{- fail (printf "telemetry.otlp.endpoint is %q: set it to a URL that begins with http or https, such as http://otel-collector.observability:4318." .telemetry.otlp.endpoint) -}}
{{- else if and .lineage.url (not (regexMatch "^https?://[^/]+" .lineage.url)) -}}
{{- fail (printf "lineage.url is %q: set it to a URL that begins with http or https, such as http://marquez.observability:5000." .lineage.url) -}}
{{- else if and .lineage.url (not .airflow.enabled) -}}
{{- fail (printf "lineage.url is %q but airflow.enabled is false: only Airflow sends lineage; set it to true, or clear the URL." .lineage.url) -}}
{{- else if and .telemetry.otlp.existingSecret (not .telemetry.otlp.endpoint) -}}
{{- fail (printf "telemetry.otlp.existingSecret is %q but telemetry.otlp.endpoint is empty: set it to the collector's URL, or clear the name." .telemetry.otlp.existingSecret) -}}
{{- else if and .airflow.enabled .postgres.external.enabled (not .airflow.existingDatabaseSecret) -}}
{{- fail "airflow.enabled is true and PostgreSQL is external: set airflow.existingDatabaseSecret to a Secret with the uri of a database for Airflow." -}}
{{- else if and .airflow.enabled (eq .airflow.dashboardUser.username .airflow.admin.username) -}}
{{- fail (printf "airflow.dashboardUser.username is %q, as is airflow.admin.username, so the administrator would be left with the dashboard's rights: choose another name." .airflow.admin.username) -}}
{{- else if and (eq .stream.runner "deployment") .stream.executor.dynamicAllocation.enabled -}}
{{- fail "stream.executor.dynamicAllocation.enabled is true but stream.runner is deployment, which has no executors: set the runner to sparkOperator, or dynamicAllocation.enabled to false." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Without a cluster, Helm knows the kinds of Kubernetes itself only; every cluster also serves those of its API aggregator. */}}
{{- define "user-insights.requiresCrds" -}}
{{- if eq (toString .Values.requireCrds) "auto" -}}
{{- .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1" -}}
{{- else -}}
{{- .Values.requireCrds -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.validate.crds" -}}
{{- $operators := "cert-manager and charts/operators" -}}
{{- $needed := list -}}
{{- if not .Values.kafka.external.enabled -}}
{{- $needed = append $needed (list "kafka.strimzi.io/v1/Kafka" "Strimzi 1.2" $operators "kafka.external.enabled=true") -}}
{{- end -}}
{{- if not .Values.postgres.external.enabled -}}
{{- $needed = append $needed (list "postgresql.cnpg.io/v1/DatabaseRole" "CloudNativePG 1.30" $operators "postgres.external.enabled=true") -}}
{{- if or .Values.postgres.backup.enabled .Values.postgres.recovery.enabled -}}
{{- $needed = append $needed (list "barmancloud.cnpg.io/v1/ObjectStore" "the Barman Cloud plugin" "charts/operators with enabled.postgresBackup=true" "postgres.backup.enabled=false") -}}
{{- end -}}
{{- end -}}
{{- if not .Values.cassandra.external.enabled -}}
{{- $needed = append $needed (list "k8ssandra.io/v1alpha1/K8ssandraCluster" "K8ssandra operator 1.32" $operators "cassandra.external.enabled=true") -}}
{{- if .Values.cassandra.tls.enabled -}}
{{- $needed = append $needed (list "cert-manager.io/v1/Certificate" "cert-manager" "cert-manager" "cassandra.tls.enabled=false") -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.stream.runner "sparkOperator" -}}
{{- $needed = append $needed (list "sparkoperator.k8s.io/v1beta2/SparkApplication" "Spark operator 2.5" $operators "stream.runner=deployment") -}}
{{- end -}}
{{- if .Values.monitoring.enabled -}}
{{- $needed = append $needed (list "monitoring.coreos.com/v1/PodMonitor" "the Prometheus operator" "it" "monitoring.enabled=false") -}}
{{- end -}}
{{- range list "dashboard" "airflow" -}}
{{- if (get $.Values .).httpRoute.enabled -}}
{{- $needed = append $needed (list "gateway.networking.k8s.io/v1/HTTPRoute" "Gateway API 1" "the Gateway API" (printf "%s.httpRoute.enabled=false" .)) -}}
{{- end -}}
{{- end -}}
{{- range $needed -}}
{{- if not ($.Capabilities.APIVersions.Has (index . 0)) -}}
{{- fail (printf "%s of %s is not defined in this cluster: install %s first, or set %s." (index . 0) (index . 1) (index . 2) (index . 3)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Checked only if the namespace exists: `helm template` has no cluster, and a new namespace has no Secrets yet. */}}
{{- define "user-insights.validate.secrets" -}}
{{- if lookup "v1" "Namespace" "" .Release.Namespace -}}
{{- range include "user-insights.existingSecrets" . | fromYamlArray -}}
{{- if not (lookup "v1" "Secret" $.Release.Namespace .) -}}
{{- fail (printf "The Secret %q is not in namespace %q: create it there before the install, or name another in the values." . $.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of the existing Secrets that the values refer to, as a YAML list. */}}
{{- define "user-insights.existingSecrets" -}}
{{- $names := list .Values.airflow.existingDatabaseSecret .Values.airflow.existingKeysSecret .Values.airflow.admin.existingSecret .Values.airflow.dashboardUser.existingSecret .Values.stream.checkpoint.existingSecret .Values.stream.existingSecret .Values.telemetry.otlp.existingSecret -}}
{{- with .Values.dashboard.auth -}}
{{- if ne .mode "none" -}}
{{- $names = append $names (get . .mode).existingSecret -}}
{{- end -}}
{{- end -}}
{{- range list "kafka" "postgres" "cassandra" -}}
{{- $external := (get $.Values .).external -}}
{{- if $external.enabled -}}
{{- $names = concat $names (list $external.existingSecret $external.caSecret) (values $external.existingSecrets | sortAlpha) -}}
{{- end -}}
{{- end -}}
{{- $names | compact | uniq | toYaml -}}
{{- end -}}
