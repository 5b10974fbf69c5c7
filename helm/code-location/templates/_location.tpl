{{/* The location's team. $ */}}
{{- define "location.team" -}}
{{- range $team, $body := .Values.teams -}}
{{- range $location, $_ := $body.locations -}}
{{- if eq (printf "%s-%s" $team $location) $.Values.location -}}{{ $team }}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "location.package" -}}
{{- replace "-" "_" .Values.location -}}
{{- end -}}

{{- define "location.selector" -}}
app.kubernetes.io/name: code-location
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: code-server
{{- end -}}

{{- define "location.match" -}}
{{- dict "matchLabels" (include "location.selector" . | fromYaml) | toJson -}}
{{- end -}}

{{- define "location.labels" -}}
{{ include "location.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: dagster
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
tenancy/location: {{ .Values.location | quote }}
tenancy/team: {{ include "location.team" . | quote }}
{{- end -}}

{{- define "location.image" -}}
{{- index .Values.images.locations .Values.location -}}
{{- end -}}

{{/* Variables of code server and runs alike. $ */}}
{{- define "location.variables" -}}
- {name: HOME, value: /tmp}
- {name: DATABASE_HOST, value: {{ include "common.database-host" . | quote }}}
- {name: DATABASE_PORT, value: {{ .Values.database.port | quote }}}
- {name: DATABASE_SSLMODE, value: {{ include "common.database-sslmode" . | quote }}}
- name: DATABASE_USERNAME
  valueFrom: {secretKeyRef: {name: database, key: username}}
- name: DATABASE_PASSWORD
  valueFrom: {secretKeyRef: {name: database, key: password}}
- {name: ENVIRONMENT, value: {{ .Values.environment | quote }}}
- {name: TEAM, value: {{ include "location.team" . | quote }}}
- {name: LOCATION, value: {{ .Values.location | quote }}}
- {name: LEDGER_SCHEMA, value: $(DATABASE_USERNAME)}
- {name: LEDGER_URL, value: "postgresql://$(DATABASE_USERNAME):$(DATABASE_PASSWORD)@$(DATABASE_HOST):$(DATABASE_PORT)/ledger?sslmode=$(DATABASE_SSLMODE)"}
{{- include "common.variables" (include "location.setting" (list . "variables") | fromJson) }}
{{- end -}}

{{/* A map of values with what the location has in place of it, as JSON. (list $ "key") */}}
{{- define "location.setting" -}}
{{- $ := index . 0 -}}
{{- include "common.over" (list (index $.Values (index . 1)) (index $.Values.locations $.Values.location (index . 1))) -}}
{{- end -}}

{{/*
What the pods of runs look like, as dagster-k8s reads it: snake case. The namespace, the service account, the nodes and the
bounds are not here: the launcher takes them from the platform. $
*/}}
{{- define "location.container-context" -}}
{{- $variables := list -}}
{{- range include "location.variables" . | fromYamlArray -}}
{{- if .valueFrom -}}
{{- $variables = append $variables (dict "name" .name "value_from" (dict "secret_key_ref" .valueFrom.secretKeyRef)) -}}
{{- else -}}
{{- $variables = append $variables . -}}
{{- end -}}
{{- end -}}
{{- $pod := dict
      "automount_service_account_token" false
      "enable_service_links" false
      "security_context" (dict "run_as_non_root" true "run_as_user" 10001 "run_as_group" 10001 "fs_group" 10001 "seccomp_profile" (dict "type" "RuntimeDefault"))
      "termination_grace_period_seconds" 60
      "volumes" (list (dict "name" "tmp" "empty_dir" (dict "size_limit" .Values.run_pods.scratch))) -}}
{{- $runs := include "location.setting" (list . "run_pods") | fromJson -}}
{{- $container := dict
      "env" $variables
      "resources" $runs.resources
      "security_context" (dict "allow_privilege_escalation" false "read_only_root_filesystem" true "capabilities" (dict "drop" (list "ALL")))
      "volume_mounts" (list (dict "name" "tmp" "mount_path" "/tmp")) -}}
{{- $config := dict
      "container_config" $container
      "pod_spec_config" $pod
      "job_spec_config" (dict "ttl_seconds_after_finished" (int64 $runs.keep_seconds) "backoff_limit" 0) -}}
{{- if or $runs.pod_annotations $runs.pod_labels -}}
{{- $_ := set $config "pod_template_spec_metadata" (dict "annotations" $runs.pod_annotations "labels" $runs.pod_labels) -}}
{{- end -}}
{{- $pulls := list -}}
{{- range .Values.image_pull_secrets }}{{- $pulls = append $pulls (dict "name" .) }}{{- end -}}
{{- dict "k8s" (dict "image_pull_secrets" $pulls "run_k8s_config" $config) | toJson -}}
{{- end -}}
