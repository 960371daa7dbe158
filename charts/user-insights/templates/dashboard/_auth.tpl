{{/* Address on which the pages listen: without a login it is the loopback address, unless anonymous visitors are allowed. */}}
{{- define "user-insights.dashboard.address" -}}
{{- with .Values.dashboard.auth -}}
{{- ternary "127.0.0.1" "0.0.0.0" (and (eq .mode "none") (not .allowAnonymous)) -}}
{{- end -}}
{{- end -}}

{{/* Health probe of the pages. The kubelet cannot reach a pod's loopback interface, so there the probe runs inside the pod. */}}
{{- define "user-insights.dashboard.health" -}}
{{- if eq (include "user-insights.dashboard.address" .) "0.0.0.0" -}}
httpGet: {path: /_stcore/health, port: http}
{{- else -}}
exec:
  command:
    - bash
    - -c
    - 'exec 3<>/dev/tcp/127.0.0.1/8501 && printf "GET /_stcore/health HTTP/1.0\r\n\r\n" >&3 && grep -q "^HTTP/1.1 200 " <&3'
{{- end -}}
{{- end -}}

{{/* Environment that determines who may see the pages and who may act on the data. */}}
{{- define "user-insights.dashboard.authEnv" -}}
{{- with .Values.dashboard.auth }}
- name: INSIGHTS_DASHBOARD_AUTH
  value: {{ .mode }}
- name: INSIGHTS_DASHBOARD_OPERATORS
  value: {{ join "," .operators | quote }}
{{- if eq .mode "none" }}
- name: INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS
  value: {{ .allowAnonymous | quote }}
{{- else }}
- name: INSIGHTS_DASHBOARD_VIEWERS
  value: {{ join "," .viewers | quote }}
{{- end }}
{{- if eq .mode "oidc" }}
- name: INSIGHTS_DASHBOARD_SESSION_HOURS
  value: {{ .sessionHours | quote }}
{{- else if eq .mode "proxy" }}
- name: INSIGHTS_DASHBOARD_PROXY_USER_HEADER
  value: {{ .proxy.userHeader | quote }}
- name: INSIGHTS_DASHBOARD_PROXY_SECRET
  valueFrom: {secretKeyRef: {name: {{ .proxy.existingSecret }}, key: secret}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "user-insights.dashboard.validate" -}}
{{- with .Values.dashboard -}}
{{- $none := eq .auth.mode "none" -}}
{{- if and $none (not .auth.allowAnonymous) (or .ingress.enabled .httpRoute.enabled) -}}
{{- fail (printf "dashboard.auth.mode is none but dashboard.%s.enabled is true: set the mode to oidc or proxy, or dashboard.auth.allowAnonymous to true to show the pages to everyone." (ternary "ingress" "httpRoute" .ingress.enabled)) -}}
{{- else if and .auth.allowAnonymous (not $none) -}}
{{- fail (printf "dashboard.auth.allowAnonymous is true but dashboard.auth.mode is %s, which lets nobody in without a login: set it to false." .auth.mode) -}}
{{- else if and $none .auth.viewers -}}
{{- fail "dashboard.auth.viewers is set but dashboard.auth.mode is none, which identifies no visitor: set the mode to oidc or proxy, or clear the list." -}}
{{- else if and (not $none) (not .auth.viewers) -}}
{{- fail (printf "dashboard.auth.viewers is empty but dashboard.auth.mode is %s: list who may see the pages, or set it to [\"*\"] for everyone who is logged in." .auth.mode) -}}
{{- else if and (eq .auth.mode "oidc") (not .auth.oidc.existingSecret) -}}
{{- fail "dashboard.auth.mode is oidc but dashboard.auth.oidc.existingSecret is empty: name the Secret with secrets.toml." -}}
{{- else if and (eq .auth.mode "proxy") (not .auth.proxy.existingSecret) -}}
{{- fail "dashboard.auth.mode is proxy but dashboard.auth.proxy.existingSecret is empty: name the Secret whose secret the proxy sends." -}}
{{- end -}}
{{- end -}}
{{- end -}}
