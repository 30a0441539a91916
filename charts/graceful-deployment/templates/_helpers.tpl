{{- define "graceful.labels" -}}
app.kubernetes.io/name: graceful-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: graceful-deployment
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "graceful.selectorLabels" -}}
app.kubernetes.io/name: graceful-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "graceful.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default "graceful-operator" }}
{{- else -}}
{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- /* An image reference from [image values, appVersion]. */ -}}
{{- define "graceful.image" -}}
{{- $image := index . 0 -}}
{{- $image.repository }}:{{ $image.tag | default (index . 1) }}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end }}
