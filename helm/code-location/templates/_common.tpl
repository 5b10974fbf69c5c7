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
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.scheduling.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
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
