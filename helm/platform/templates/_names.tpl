{{/* Names, labels and what pods have in common. */}}

{{/* Name of an object of the release. (list $ "suffix") */}}
{{- define "platform.name" -}}
{{- include "common.name" (list (index . 0).Release.Name (index . 1)) -}}
{{- end -}}

{{/* labels of every object of the control plane. (list $ "component") */}}
{{- define "platform.labels" -}}
{{- $ := index . 0 -}}
{{ include "platform.selector" . }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
app.kubernetes.io/part-of: dagster
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
{{- end -}}

{{- define "platform.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: platform
app.kubernetes.io/instance: {{ $.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* A selector of the pods of a component. (list $ "component") */}}
{{- define "platform.match" -}}
{{- dict "matchLabels" (include "platform.selector" . | fromYaml) | toJson -}}
{{- end -}}

{{/* labels of every object of a team. "team" */}}
{{- define "platform.team-labels" -}}
app.kubernetes.io/name: team
app.kubernetes.io/managed-by: Helm
app.kubernetes.io/part-of: dagster
tenancy/team: {{ . | quote }}
{{- end -}}

{{/* The teams of this release, as a JSON map: those that share a control plane, or the one that has its own. */}}
{{- define "platform.teams" -}}
{{- $dedicated := .Values.control_plane.dedicated_to -}}
{{- $teams := dict -}}
{{- range $name, $team := .Values.teams -}}
{{- if ternary (eq $name $dedicated) (ne ($team.isolation | default "shared") "dedicated") (ne $dedicated "") -}}
{{- $_ := set $teams $name $team -}}
{{- end -}}
{{- end -}}
{{- toJson $teams -}}
{{- end -}}

{{/* Login role and ledger schema of a team. "team" */}}
{{- define "platform.role" -}}
{{- replace "-" "_" . -}}
{{- end -}}

{{/* Variables that say where the database is and who logs in. (list $ may-the-password-be-missing) */}}
{{- define "platform.database-variables" -}}
{{- $missing := index . 1 -}}
{{- with index . 0 -}}
- {name: DATABASE_HOST, value: {{ include "common.database-host" . | quote }}}
- {name: DATABASE_PORT, value: {{ .Values.database.port | quote }}}
- {name: DATABASE_SSLMODE, value: {{ include "common.database-sslmode" . | quote }}}
- {name: DATABASE_USERNAME, value: dagster}
{{- with .Values.control_plane.variables.PGSSLROOTCERT }}
- {name: PGSSLROOTCERT, value: {{ . | quote }}}
{{- end }}
- name: DATABASE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "platform.name" (list . "database") }}, key: password, optional: {{ $missing }}}}
{{- end -}}
{{- end -}}
