{{/* What the pods of both charts have in common; the file is the same in both. */}}

{{/* {prefix}-{suffix}, cut to 63 with the suffix whole. (list "prefix" "suffix") */}}
{{- define "common.name" -}}
{{- $suffix := index . 1 -}}
{{- printf "%s-%s" (trunc (int (sub 62 (len $suffix))) (index . 0) | trimSuffix "-") $suffix -}}
{{- end -}}

{{- define "common.pod-security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
# Postgres refuses a data directory that its group may write, which is what a change of everything makes of it.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "common.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Fields of every pod's specification. $ */}}
{{- define "common.pod" -}}
securityContext: {{- include "common.pod-security" . | nindent 2 }}
enableServiceLinks: false
{{- with .Values.image_pull_secrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.scheduling.node_selector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "common.database-host" -}}
{{- if .Values.database.embedded.enabled -}}
{{ include "common.name" (list .Values.control_plane.release "database") }}.{{ .Values.control_plane.namespace }}.svc
{{- else -}}
{{ .Values.database.host }}
{{- end -}}
{{- end -}}

{{- define "common.database-sslmode" -}}
{{ ternary "disable" .Values.database.sslmode .Values.database.embedded.enabled }}
{{- end -}}

{{/* Variables of the environment's values: plain, or by reference to a Secret. A map */}}
{{- define "common.variables" -}}
{{- range $name, $value := . }}
{{- if kindIs "map" $value }}
- name: {{ $name | quote }}
  valueFrom: {secretKeyRef: {name: {{ $value.secret.name | quote }}, key: {{ $value.secret.key | quote }}}}
{{- else }}
- {name: {{ $name | quote }}, value: {{ include "common.text" $value | replace "$" "$$" | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* A scalar as text. As JSON, because Helm reads numbers as floats, and would write 1000000 as 1e+06. */}}
{{- define "common.text" -}}
{{- if kindIs "string" . -}}{{ . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}

{{/* Thousandths of a core, or MiB, of an amount as the schema takes it. "500m" */}}
{{- define "common.amount" -}}
{{- if hasSuffix "m" . -}}{{ trimSuffix "m" . }}
{{- else if hasSuffix "Mi" . -}}{{ trimSuffix "Mi" . }}
{{- else if hasSuffix "Gi" . -}}{{ mul 1024 (trimSuffix "Gi" . | int64) }}
{{- else if hasSuffix "Ti" . -}}{{ mul 1048576 (trimSuffix "Ti" . | int64) }}
{{- else -}}{{ mul 1000 (int64 .) }}{{- end -}}
{{- end -}}

{{/* What Kubernetes would refuse in the middle of an upgrade, or only when a pod is made. $ */}}
{{- define "common.check" -}}
{{- $values := .Values -}}
{{- $file := printf "environments/%s/values.yaml" $values.environment -}}
{{- $most := $values.run_pods.most -}}
{{- range $key, $resources := dict "webserver" $values.webserver.resources "daemon" $values.daemon.resources "code_servers" $values.code_servers.resources "run_pods" $values.run_pods.resources "database.embedded" $values.database.embedded.resources -}}
{{- range $what := list "cpu" "memory" -}}
{{- $request := index $resources.requests $what -}}
{{- $limit := index $resources.limits $what -}}
{{- if gt (include "common.amount" $request | int64) (include "common.amount" $limit | int64) -}}
{{- fail (printf "%s.resources.requests.%s is %s, more than limits.%s, which is %s: change one of them in %s" $key $what $request $what $limit $file) -}}
{{- end -}}
{{- if and (has $key (list "code_servers" "run_pods")) (gt (include "common.amount" $limit | int64) (include "common.amount" (index $most $what) | int64)) -}}
{{- fail (printf "%s.resources.limits.%s is %s, more than any pod of a team may have, run_pods.most.%s: %s; change one of them in %s" $key $what $limit $what (index $most $what) $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $variables := dict "variables" $values.variables "control_plane.variables" $values.control_plane.variables -}}
{{- range $location, $own := $values.locations -}}{{- $_ := set $variables (printf "locations.%s.variables" $location) $own.variables -}}{{- end -}}
{{- range $key, $map := $variables -}}
{{- range $name, $_ := $map -}}
{{- if or (has $name (list "ENVIRONMENT" "HOME" "LEDGER_SCHEMA" "LEDGER_URL" "LOCATION" "TEAM")) (regexMatch "^(DAGSTER_|DATABASE_|KUBERNETES_|PYTHON)" $name) -}}
{{- fail (printf "%s.%s is set by the platform; take it out of %s" $key $name $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
