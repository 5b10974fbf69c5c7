{{/* What webserver and daemon have in common. */}}

{{- define "platform.control-plane-variables" -}}
- {name: DAGSTER_HOME, value: /opt/dagster/home}
- {name: HOME, value: /tmp}
{{ include "platform.database-variables" (list . false) }}
{{- with include "common.variables" (omit .Values.control_plane.variables "PGSSLROOTCERT") }}
{{- . }}
{{- end }}
{{- end -}}

{{- define "platform.control-plane-mounts" -}}
- {name: instance, mountPath: /opt/dagster/home, readOnly: true}
- {name: workspace, mountPath: /etc/tenancy/workspace, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "platform.control-plane-volumes" -}}
- name: instance
  configMap: {name: {{ include "platform.name" (list . "instance") }}}
- name: workspace
  configMap: {name: {{ include "platform.name" (list . "workspace") }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- end -}}

{{/* Waits until the migration has been there; the pods that serve now go on meanwhile. */}}
{{- define "platform.wait" -}}
- name: wait-for-database
  image: {{ .Values.images.platform | quote }}
  command: [python, -m, tenancy.cluster, wait]
  # The Job by its label: its name says which teams there are, and a team added or removed must restart nothing.
  args: [--seconds, {{ int64 .Values.database.migration_seconds | quote }}, --migration, {{ printf "-n %s -l app.kubernetes.io/component=migration" .Release.Namespace | quote }}]
  env: {{- include "platform.control-plane-variables" . | nindent 4 }}
  volumeMounts: {{- include "platform.control-plane-mounts" . | nindent 4 }}
  securityContext: {{- include "common.container-security" . | nindent 4 }}
  resources: {requests: {cpu: 50m, memory: 192Mi}, limits: {cpu: "1", memory: 512Mi}}
{{- end -}}
