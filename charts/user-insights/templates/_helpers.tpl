{{- define "user-insights.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Truncated to 26 characters: K8ssandra appends up to 26 more, and a StatefulSet's name may have 52. */}}
{{- define "user-insights.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 26 | trimSuffix "-" -}}
{{- else if contains (include "user-insights.name" .) .Release.Name -}}
{{- .Release.Name | trunc 26 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "user-insights.name" .) | trunc 26 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.componentName" -}}
{{- printf "%s-%s" (include "user-insights.fullname" .root) .component -}}
{{- end -}}

{{/* Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.selectorLabels" -}}
app.kubernetes.io/name: {{ include "user-insights.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.labels" -}}
{{ include "user-insights.selectorLabels" . }}
app.kubernetes.io/part-of: user-insights
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Metadata of a Deployment. Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.deploymentMetadata" -}}
name: {{ include "user-insights.componentName" . }}
labels:
  {{- include "user-insights.labels" . | nindent 2 }}
{{- with .root.Values.deploymentAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels of a pod. They leave out the chart's version, so that an upgrade of the chart alone restarts nothing.
     Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.podLabels" -}}
{{ include "user-insights.selectorLabels" . }}
app.kubernetes.io/part-of: user-insights
{{- end -}}

{{/* The key of a component in the values, such as `airflowTask`. Calling convention: the component */}}
{{- define "user-insights.valueKey" -}}
{{- . | replace "-" "_" | camelcase | untitle -}}
{{- end -}}

{{/* A service account with the annotations of the values.
     Calling convention: (dict "root" $ "component" "platform") */}}
{{- define "user-insights.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "user-insights.componentName" . }}
  labels:
    {{- include "user-insights.labels" . | nindent 4 }}
  {{- with get .root.Values.serviceAccountAnnotations (include "user-insights.valueKey" .component) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Image and pull policy of a container; every image of the platform is rendered here.
     Calling convention: (dict "root" $ "name" "publisher") */}}
{{- define "user-insights.image" -}}
image: {{ include "user-insights.imageReference" . }}
imagePullPolicy: {{ .root.Values.images.pullPolicy }}
{{- end -}}

{{/* Reference of an image, by digest if there is one. In values for earlier versions of the chart it is the repository, a string.
     Calling convention: (dict "root" $ "name" "publisher") */}}
{{- define "user-insights.imageReference" -}}
{{- $images := .root.Values.images -}}
{{- $image := get $images .name -}}
{{- if kindIs "string" $image -}}
{{- $image = dict "repository" $image -}}
{{- end -}}
{{- $name := printf "%s/%s" (default "" $images.registry | trimSuffix "/") $image.repository | trimPrefix "/" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (coalesce $image.tag $images.tag .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Fields of every pod of the platform. Calling convention: (dict "root" $ "component" "publisher" "uid" 10001) */}}
{{- define "user-insights.podSpec" -}}
enableServiceLinks: false
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "user-insights.podSecurityContext" . | nindent 2 }}
{{- end -}}

{{/* Calling convention: (dict "root" $ "uid" 10001) */}}
{{- define "user-insights.podSecurityContext" -}}
runAsNonRoot: true
{{- if .root.Values.fixedUserIds }}
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "user-insights.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Spreads the replicas of a component. Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.topologySpread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ .root.Values.topologyKey }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "user-insights.selectorLabels" . | nindent 8 }}
{{- end -}}

{{/* The annotations that a Prometheus without its operator looks for. Calling convention: (dict "root" $ "port" 8085) */}}
{{- define "user-insights.metricsAnnotations" -}}
{{- if not .root.Values.monitoring.enabled -}}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ .port | quote }}
  prometheus.io/path: /metrics
{{- end -}}
{{- end -}}

{{/* Calling convention: (dict "root" $ "component" "publisher") */}}
{{- define "user-insights.pdb" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "user-insights.componentName" . }}
  labels:
    {{- include "user-insights.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "user-insights.selectorLabels" . | nindent 6 }}
{{- end -}}

{{/* An Ingress of a component's Service. Calling convention: (dict "root" $ "component" "dashboard" "ingress" .Values.dashboard.ingress) */}}
{{- define "user-insights.ingress" -}}
{{- $hosts := prepend .ingress.otherHosts .ingress.host -}}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ include "user-insights.componentName" . }}
  labels:
    {{- include "user-insights.labels" . | nindent 4 }}
  {{- with .ingress.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- with .ingress.className }}
  ingressClassName: {{ . }}
  {{- end }}
  rules:
    {{- range $hosts }}
    - host: {{ . }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: {{ include "user-insights.componentName" $ }}
                port: {name: http}
    {{- end }}
  {{- with .ingress.tlsSecret }}
  tls:
    - secretName: {{ . }}
      hosts:
        {{- toYaml $hosts | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* A route from a Gateway to a component's Service. Calling convention: (dict "root" $ "component" "dashboard" "route" .Values.dashboard.httpRoute "port" 80) */}}
{{- define "user-insights.httpRoute" -}}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ include "user-insights.componentName" . }}
  labels:
    {{- include "user-insights.labels" . | nindent 4 }}
spec:
  parentRefs:
    - name: {{ .route.gateway }}
      {{- with .route.gatewayNamespace }}
      namespace: {{ . }}
      {{- end }}
  hostnames:
    {{- prepend .route.otherHosts .route.host | toYaml | nindent 4 }}
  rules:
    - backendRefs:
        - name: {{ include "user-insights.componentName" . }}
          port: {{ .port }}
{{- end -}}

{{/* URL of the API that the DAG fetches from. Calling convention: $ */}}
{{- define "user-insights.source.url" -}}
{{- default (printf "http://%s-source:8084/api/1.4/" (include "user-insights.fullname" .)) .Values.source.url -}}
{{- end -}}
