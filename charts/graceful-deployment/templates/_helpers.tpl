{{- /* Labels of every object. */ -}}
{{- define "graceful.labels" -}}
app.kubernetes.io/name: graceful-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: graceful-deployment
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "graceful.selectorLabels" -}}
app.kubernetes.io/name: graceful-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Name of what has no namespace: each release that watches chosen namespaces has its own. */ -}}
{{- define "graceful.clusterName" -}}
{{- $name := index . 1 }}
{{- with index . 0 -}}
{{ $name }}{{ if .Values.watchNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}
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

{{- /* What each pod of this chart is held to: the Pod Security level restricted. */ -}}
{{- define "graceful.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "graceful.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /*
The Job of a hook from [context, name, ServiceAccount, events, arguments]. It runs the operator's image, so
that no other one must be pulled; on failure helm shows its log.
*/ -}}
{{- define "graceful.hook" -}}
{{- $name := index . 1 }}
{{- $account := index . 2 }}
{{- $events := index . 3 }}
{{- $arguments := index . 4 }}
{{- with index . 0 -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "graceful.labels" . | nindent 4 }}
  annotations:
    helm.sh/hook: {{ $events }}
    helm.sh/hook-weight: "1"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-failed
spec:
  # It tries again by itself what may pass.
  backoffLimit: 0
  activeDeadlineSeconds: 120
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{ $name }}
        app.kubernetes.io/instance: {{ .Release.Name }}
        {{- with .Values.commonLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ $account }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "graceful.podSecurity" . | nindent 8 }}
      containers:
        - name: {{ $name }}
          image: {{ include "graceful.image" (list .Values.image .Chart.AppVersion) | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args:
            {{- toYaml $arguments | nindent 12 }}
          terminationMessagePolicy: FallbackToLogsOnError
          {{- with .Values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          securityContext:
            {{- include "graceful.containerSecurity" . | nindent 12 }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}

{{- /* What the check works with is made before it (weight) and goes with it. */ -}}
{{- define "graceful.checkAnnotations" -}}
helm.sh/hook: post-install,post-upgrade,test
helm.sh/hook-weight: "0"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
