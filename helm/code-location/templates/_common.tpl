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

{{/* Fields of every pod's specification. (list $ scheduling) */}}
{{- define "common.pod" -}}
{{- $scheduling := index . 1 -}}
{{- with index . 0 -}}
securityContext: {{- include "common.pod-security" . | nindent 2 }}
enableServiceLinks: false
{{- with .Values.image_pull_secrets }}
imagePullSecrets: {{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with $scheduling.node_selector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $scheduling.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end -}}
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

{{/* Labels or annotations. A map */}}
{{- define "common.strings" -}}
{{- range $key, $value := . }}
{{ $key | quote }}: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* A map laid over another, key by key. Not by `merge`, for which false, 0 and "" are nothing. (list below over) */}}
{{- define "common.over" -}}
{{- $all := dict -}}
{{- range . }}{{ range $name, $value := . }}{{ $_ := set $all $name $value }}{{ end }}{{ end -}}
{{- toJson $all -}}
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

{{/* An image is the same tomorrow. (list $ "key" "image" file) */}}
{{- define "common.check-image" -}}
{{- $values := (index . 0).Values -}}
{{- $key := index . 1 -}}{{- $image := index . 2 -}}{{- $file := index . 3 -}}
{{- if and (has $values.environment (list "staging" "prod")) (not (contains "@sha256:" $image)) -}}
{{- fail (printf "%s: %s is a tag, which can be moved; %s takes digests: set the image as name@sha256:... in %s (`crane digest %s` prints it)" $key $image $values.environment $file $image) -}}
{{- end -}}
{{- if hasSuffix ":latest" $image -}}
{{- fail (printf "%s: %s says latest, which is another image tomorrow; set a version or a digest in %s" $key $image $file) -}}
{{- end -}}
{{- end -}}

{{/* What Kubernetes would refuse in the middle of an upgrade, or only when a pod is made. $ */}}
{{- define "common.check" -}}
{{- $values := .Values -}}
{{- $file := printf "environments/%s/values.yaml" $values.environment -}}
{{- if eq $values.environment "local" -}}
{{- fail "environment: local is the platform of `make up`; give -f environments/dev/values.yaml, or another cluster's" -}}
{{- end -}}
{{- if and (not $values.database.embedded.enabled) (not $values.database.host) -}}
{{- fail (printf "database.host is empty: set the Postgres server's host name in %s, or database.embedded.enabled: true for a database in the cluster (development only)" $file) -}}
{{- end -}}
{{- $most := $values.run_pods.most -}}
{{- if or (lt (include "common.amount" $values.run_pods.most.cpu | int64) 500) (lt (include "common.amount" $values.run_pods.most.memory | int64) 256) -}}
{{- fail (printf "run_pods.most: a container that says nothing gets 500m and 256Mi; set at least that in %s" $file) -}}
{{- end -}}
{{- $all := dict "webserver" $values.webserver.resources "daemon" $values.daemon.resources "code_servers" $values.code_servers.resources "run_pods" $values.run_pods.resources "database.embedded" $values.database.embedded.resources -}}
{{- $schedulings := dict "scheduling" $values.scheduling -}}
{{- $labels := dict "control_plane" $values.control_plane.pod_labels "code_servers" $values.code_servers.pod_labels "run_pods" $values.run_pods.pod_labels -}}
{{- range $location, $own := $values.locations -}}
{{- range $what := list "code_servers" "run_pods" -}}
{{- with (index $own $what | default dict).resources -}}{{- $_ := set $all (printf "locations.%s.%s" $location $what) . -}}{{- end -}}
{{- end -}}
{{- with $own.scheduling -}}{{- $_ := set $schedulings (printf "locations.%s.scheduling" $location) . -}}{{- end -}}
{{- end -}}
{{- range $key, $resources := $all -}}
{{- range $what := list "cpu" "memory" -}}
{{- $request := index $resources.requests $what -}}
{{- $limit := index $resources.limits $what -}}
{{- if gt (include "common.amount" $request | int64) (include "common.amount" $limit | int64) -}}
{{- fail (printf "%s.resources.requests.%s is %s, more than limits.%s, which is %s: change one of them in %s" $key $what $request $what $limit $file) -}}
{{- end -}}
{{- if and (has ($key | splitList "." | last) (list "code_servers" "run_pods")) (gt (include "common.amount" $limit | int64) (include "common.amount" (index $most $what) | int64)) -}}
{{- fail (printf "%s.resources.limits.%s is %s, more than any pod of a team may have, run_pods.most.%s: %s; change one of them in %s" $key $what $limit $what (index $most $what) $file) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $scheduling := $schedulings -}}
{{- range $scheduling.tolerations -}}
{{- $wrong := "" -}}
{{- if and (not .key) (ne (.operator | default "Equal") "Exists") -}}{{- $wrong = "one without key tolerates every taint: write operator: Exists" -}}{{- end -}}
{{- if and .value (eq (.operator | default "Equal") "Exists") -}}{{- $wrong = "one with operator: Exists has no value" -}}{{- end -}}
{{- if and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute") -}}{{- $wrong = "tolerationSeconds is for effect: NoExecute only" -}}{{- end -}}
{{- if $wrong -}}{{- fail (printf "%s.tolerations in %s: %s" $key $file $wrong) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $map := $labels -}}
{{- range $name, $_ := $map -}}
{{- if regexMatch "^(app\\.kubernetes\\.io|dagster|tenancy)/" $name -}}
{{- fail (printf "%s.pod_labels.%s is set by the platform; take it out of %s" $key $name $file) -}}
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
