{{- define "perfrun.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "perfrun.selector" -}}
app.kubernetes.io/name: perfrun
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "perfrun.labels" -}}
{{ include "perfrun.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "perfrun.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "perfrun.benchmarkImage" -}}
{{ .Values.benchmarks.image.repository }}:{{ default .Chart.AppVersion .Values.benchmarks.image.tag }}
{{- end -}}

{{- define "perfrun.agentImage" -}}
{{- $image := .Values.chaos.agents.image -}}
{{- if $image.repository -}}
{{ $image.repository }}:{{ default .Chart.AppVersion $image.tag }}
{{- else -}}
{{ .Values.benchmarks.image.repository }}:{{ coalesce $image.tag .Values.benchmarks.image.tag .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* Something where faults are possible, nothing where they are not. */ -}}
{{- define "perfrun.chaos" -}}
{{- if and .Values.chaos.enabled (eq .Values.scope.kind "cluster") -}}yes{{- end -}}
{{- end -}}

{{- /* The namespaces that a namespaced operator watches, as JSON. */ -}}
{{- define "perfrun.namespaces" -}}
{{- default (list .Release.Namespace) .Values.scope.namespaces | uniq | toJson -}}
{{- end -}}

{{- define "perfrun.tlsSecret" -}}
{{- default (printf "%s-tls" (include "perfrun.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{- define "perfrun.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- /* What the operator may do in each namespace that it watches. */ -}}
{{- define "perfrun.rules" -}}
- apiGroups: [perfrun.dev]
  resources: [perffeatures, perftargets]
  verbs: [get, list, watch]
- apiGroups: [perfrun.dev]
  resources: [perfruns]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [perfrun.dev]
  resources: [perfforecasts]
  verbs: [get, list, watch, create, delete] # what runs foretold, until it can be compared with what happened
- apiGroups: [perfrun.dev]
  resources: [perffeatures/status, perfruns/status, perftargets/status, perfforecasts/status]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get] # features kept in ConfigMaps
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, create, delete] # load generators
- apiGroups: [""]
  resources: [services]
  verbs: [get, list]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list] # which pods serve, and where
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get] # which requests the servers say they answered
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, get, patch]
{{- end -}}
