{{/* Name of the Secret with a user's credentials for a store.
     Calling convention: (dict "root" $ "store" "postgres" "user" "publisher") */}}
{{- define "user-insights.store.secret" -}}
{{- $external := (get .root.Values .store).external -}}
{{- if $external.enabled -}}
{{- get $external.existingSecrets .user | default $external.existingSecret -}}
{{- else if and (eq .store "cassandra") (eq .user "migrations") -}}
{{- printf "%s-cassandra-superuser" (include "user-insights.fullname" .root) -}}
{{- else if eq .store "kafka" -}}
{{- printf "%s-%s" (include "user-insights.fullname" .root) .user -}}
{{- else -}}
{{- printf "%s-%s-%s" (include "user-insights.fullname" .root) .store .user -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the CA certificate of a store; empty without TLS.
     Calling convention: (dict "root" $ "store" "kafka") */}}
{{- define "user-insights.store.caSecret" -}}
{{- $values := get .root.Values .store -}}
{{- if $values.external.enabled -}}
{{- $values.external.caSecret -}}
{{- else if eq .store "kafka" -}}
{{- printf "%s-cluster-ca-cert" (include "user-insights.fullname" .root) -}}
{{- else if or (eq .store "postgres") $values.tls.enabled -}}
{{- printf "%s-%s-ca" (include "user-insights.fullname" .root) .store -}}
{{- end -}}
{{- end -}}

{{/* Environment of a program that connects to the stores.
     Calling convention: (dict "root" $ "user" "publisher" "stores" (list "postgres" "kafka")) */}}
{{- define "user-insights.stores.env" -}}
{{- range .stores }}
{{- include (printf "user-insights.%s.env" .) (dict "root" $.root "user" $.user) }}
{{- end }}
{{- end -}}

{{- define "user-insights.postgres.host" -}}
{{- if .Values.postgres.external.enabled -}}
{{- .Values.postgres.external.host -}}
{{- else -}}
{{- printf "%s-postgres-rw" (include "user-insights.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.postgres.env" -}}
{{- $external := .root.Values.postgres.external -}}
{{- $secret := include "user-insights.store.secret" (dict "root" .root "store" "postgres" "user" .user) }}
- name: INSIGHTS_POSTGRES_HOST
  value: {{ include "user-insights.postgres.host" .root | quote }}
- name: INSIGHTS_POSTGRES_PORT
  value: {{ ternary $external.port 5432 $external.enabled | quote }}
- name: INSIGHTS_POSTGRES_DBNAME
  value: {{ .root.Values.postgres.database | quote }}
- name: INSIGHTS_POSTGRES_USER
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: username}}
- name: INSIGHTS_POSTGRES_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: password}}
- name: INSIGHTS_POSTGRES_SSLMODE
  value: {{ ternary $external.sslmode "verify-full" $external.enabled | quote }}
{{- if include "user-insights.store.caSecret" (dict "root" .root "store" "postgres") }}
- name: INSIGHTS_POSTGRES_SSLROOTCERT
  value: /etc/insights/authorities/postgres.crt
{{- end }}
{{- end -}}

{{- define "user-insights.kafka.bootstrapServers" -}}
{{- if .Values.kafka.external.enabled -}}
{{- .Values.kafka.external.bootstrapServers -}}
{{- else -}}
{{- printf "%s-kafka-bootstrap:9093" (include "user-insights.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.kafka.securityProtocol" -}}
{{- ternary .Values.kafka.external.securityProtocol "SASL_SSL" .Values.kafka.external.enabled -}}
{{- end -}}

{{- define "user-insights.kafka.saslMechanism" -}}
{{- ternary .Values.kafka.external.saslMechanism "SCRAM-SHA-512" .Values.kafka.external.enabled -}}
{{- end -}}

{{- define "user-insights.kafka.env" -}}
{{- $external := .root.Values.kafka.external -}}
{{- $secret := include "user-insights.store.secret" (dict "root" .root "store" "kafka" "user" .user) }}
- name: INSIGHTS_KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "user-insights.kafka.bootstrapServers" .root | quote }}
- name: INSIGHTS_KAFKA_SECURITY_PROTOCOL
  value: {{ include "user-insights.kafka.securityProtocol" .root }}
{{- if contains "SASL" (include "user-insights.kafka.securityProtocol" .root) }}
- name: INSIGHTS_KAFKA_SASL_MECHANISM
  value: {{ include "user-insights.kafka.saslMechanism" .root }}
- name: INSIGHTS_KAFKA_USERNAME
  {{- if $external.enabled }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: username}}
  {{- else }}
  value: {{ $secret }}
  {{- end }}
- name: INSIGHTS_KAFKA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: password}}
{{- end }}
{{- if include "user-insights.store.caSecret" (dict "root" .root "store" "kafka") }}
- name: INSIGHTS_KAFKA_CA_FILE
  value: /etc/insights/authorities/kafka.crt
{{- end }}
{{- with .root.Values.kafka.topics }}
- name: INSIGHTS_KAFKA_RAW_TOPIC
  value: {{ .raw | quote }}
- name: INSIGHTS_KAFKA_QUARANTINE_TOPIC
  value: {{ .quarantine | quote }}
- name: INSIGHTS_KAFKA_PARTITIONS
  value: {{ .partitions | quote }}
- name: INSIGHTS_KAFKA_REPLICATION_FACTOR
  value: {{ .replicas | quote }}
- name: INSIGHTS_KAFKA_MAX_MESSAGE_BYTES
  value: {{ .maxMessageBytes | int64 | quote }}
{{- end }}
{{- end -}}

{{- define "user-insights.cassandra.hosts" -}}
{{- if .Values.cassandra.external.enabled -}}
{{- .Values.cassandra.external.hosts -}}
{{- else -}}
{{- printf "%s-cassandra-%s-service" (include "user-insights.fullname" .) .Values.cassandra.datacenter -}}
{{- end -}}
{{- end -}}

{{- define "user-insights.cassandra.env" -}}
{{- $values := .root.Values.cassandra -}}
{{- $secret := include "user-insights.store.secret" (dict "root" .root "store" "cassandra" "user" .user) }}
- name: INSIGHTS_CASSANDRA_HOSTS
  value: {{ include "user-insights.cassandra.hosts" .root | quote }}
- name: INSIGHTS_CASSANDRA_PORT
  value: {{ ternary $values.external.port 9042 $values.external.enabled | quote }}
- name: INSIGHTS_CASSANDRA_KEYSPACE
  value: {{ $values.keyspace | quote }}
- name: INSIGHTS_CASSANDRA_LOCAL_DC
  value: {{ $values.datacenter | quote }}
- name: INSIGHTS_CASSANDRA_REPLICATION
  value: {{ printf "{'class': 'NetworkTopologyStrategy', '%s': %d}" $values.datacenter (int $values.replicationFactor) | quote }}
{{- if $secret }}
- name: INSIGHTS_CASSANDRA_USERNAME
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: username}}
- name: INSIGHTS_CASSANDRA_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: password}}
{{- end }}
{{- if include "user-insights.store.caSecret" (dict "root" .root "store" "cassandra") }}
- name: INSIGHTS_CASSANDRA_CA_FILE
  value: /etc/insights/authorities/cassandra.crt
{{- /* K8ssandra's nodes share a certificate for the name of their service. */}}
{{- with ternary $values.external.serverName (include "user-insights.cassandra.hosts" .root) $values.external.enabled }}
- name: INSIGHTS_CASSANDRA_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One volume with the CA certificates of the stores; empty if none has one. `optional` is for pods that may run before the
     operators have created them. Calling convention: (dict "root" $ "stores" (list "postgres" "kafka") "optional" true) */}}
{{- define "user-insights.stores.volume" -}}
{{- $sources := list -}}
{{- range $store := .stores -}}
{{- with include "user-insights.store.caSecret" (dict "root" $.root "store" $store) -}}
{{- $items := list (dict "key" "ca.crt" "path" (printf "%s.crt" $store)) -}}
{{- $secret := dict "name" . "items" $items -}}
{{- if $.optional -}}
{{- $_ := set $secret "optional" true -}}
{{- end -}}
{{- $sources = append $sources (dict "secret" $secret) -}}
{{- end -}}
{{- end -}}
- name: authorities
  projected:
    sources:
      {{- toYaml $sources | nindent 6 }}
{{- end -}}

{{- define "user-insights.stores.mount" -}}
- name: authorities
  mountPath: /etc/insights/authorities
  readOnly: true
{{- end -}}

{{/* Waits until stores have the schema of this version, and Kafka its topics. Every user may read which migrations were applied.
     Calling convention: (dict "root" $ "user" "publisher" "stores" (list "postgres")) */}}
{{- define "user-insights.waitForSchema" -}}
- name: wait-for-schema
  {{- include "user-insights.image" (dict "root" .root "name" "publisher") | nindent 2 }}
  command: [python, jobs/migrate.py, --wait, {{ .root.Values.migrations.patienceSeconds | quote }}{{ range .stores }}, --store, {{ . }}{{ end }}]
  env:
    {{- include "user-insights.stores.env" . | nindent 4 }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "user-insights.containerSecurityContext" . | nindent 4 }}
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- include "user-insights.stores.mount" . | nindent 4 }}
{{- end -}}
