{{- /*
The Deployment of a role. Takes root; role (ROLE); component (the label that selects its pods), name, account and resources;
replicas, absent with an autoscaler; and clients, whether there are any to drain.
*/}}
{{- define "kra.deployment" -}}
{{- $one := . }}
{{- with .root }}
{{- $crl := or .Values.tls.crl.existingSecret .Values.tls.crl.existingConfigMap }}
{{- $policy := eq .Values.authorization.mode "policy" }}
{{- $redis := eq .Values.cache.mode "redis" }}
{{- $redisCa := and $redis (or .Values.cache.redis.ca.existingSecret .Values.cache.redis.ca.existingConfigMap) }}
{{- $drainSeconds := ternary .Values.shutdown.drainSeconds 0 $one.clients }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $one.name }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "kra.labels" . | nindent 4 }}
spec:
  {{- with $one.replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "kra.selector" . | nindent 6 }}
      app.kubernetes.io/component: {{ $one.component }}
  # A new pod becomes ready before an old one stops.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 0
      maxSurge: 1
  template:
    metadata:
      labels:
        {{- include "kra.labels" . | nindent 8 }}
        app.kubernetes.io/component: {{ $one.component }}
        {{- with .Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $one.account }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: {{ add (ternary .Values.shutdown.preStopSeconds 0 $one.clients) $drainSeconds .Values.shutdown.timeoutSeconds 5 }}
      securityContext:
        {{- include "kra.podSecurityContext" . | nindent 8 }}
      containers:
        - name: {{ $one.component }}
          image: {{ include "kra.image" . }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          securityContext:
            {{- include "kra.containerSecurityContext" . | nindent 12 }}
          ports:
            - name: https
              containerPort: 8443
            {{- if .Values.metrics.port }}
            - name: metrics
              containerPort: {{ .Values.metrics.port }}
            {{- end }}
          env:
            - name: KUBE_SOURCE
              value: in-cluster
            - name: PORT
              value: "8443"
            - name: ROLE
              value: {{ $one.role }}
            - name: CACHE
              value: {{ .Values.cache.mode }}
            {{- if $redis }}
            {{- include "kra.redisServer" . | nindent 12 }}
            {{- if $redisCa }}
            - name: REDIS_CA_FILE
              value: /etc/kube-resource-api/redis-ca/ca.crt
            {{- end }}
            - name: REDIS_KEY_PREFIX
              value: {{ include "kra.redisKeyPrefix" . | quote }}
            - name: WATCHER_LEASE
              value: {{ .Values.cache.redis.lease }}
            {{- end }}
            {{- with .Values.namespaces }}
            - name: KUBE_NAMESPACES
              value: {{ join "," . }}
            {{- end }}
            - name: TLS_CERT_FILE
              value: /etc/kube-resource-api/tls/tls.crt
            - name: TLS_KEY_FILE
              value: /etc/kube-resource-api/tls/tls.key
            - name: TLS_CLIENT_CA_FILE
              value: /etc/kube-resource-api/client-ca/ca.crt
            {{- if $crl }}
            - name: TLS_CRL_FILE
              value: /etc/kube-resource-api/crl/ca.crl
            {{- end }}
            - name: TLS_CIPHERS
              value: {{ .Values.tls.ciphers }}
            - name: AUTHORIZATION
              value: {{ .Values.authorization.mode }}
            {{- if $policy }}
            - name: POLICY_FILE
              value: /etc/kube-resource-api/policy/policy.yaml
            {{- end }}
            {{- if $one.clients }}
            - name: AUDIT_EVENTS
              value: {{ .Values.auditEvents | quote }}
            {{- end }}
            {{- if .Values.metrics.port }}
            - name: METRICS_PORT
              value: {{ .Values.metrics.port | quote }}
            {{- end }}
            - name: DRAIN_PERIOD
              value: {{ $drainSeconds }}s
            - name: SHUTDOWN_TIMEOUT
              value: {{ .Values.shutdown.timeoutSeconds }}s
            {{- range $name, $value := .Values.settings }}
            - name: {{ $name }}
              value: {{ $value | quote }}
            {{- end }}
            {{- with .Values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # The kubelet has no client certificate; probes need none.
          startupProbe:
            httpGet:
              path: /livez
              port: https
              scheme: HTTPS
            periodSeconds: 1
            failureThreshold: 60
            timeoutSeconds: 5
          livenessProbe:
            httpGet:
              path: /livez
              port: https
              scheme: HTTPS
            periodSeconds: 10
            failureThreshold: 3
            timeoutSeconds: 5
          readinessProbe:
            httpGet:
              path: /readyz
              port: https
              scheme: HTTPS
            periodSeconds: 3
            failureThreshold: 2
            timeoutSeconds: 5
          {{- if $one.clients }}
          lifecycle:
            # The pod serves on while every node removes its endpoint. The image has no shell to sleep with.
            preStop:
              sleep:
                seconds: {{ .Values.shutdown.preStopSeconds }}
          {{- end }}
          {{- with $one.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          # Mount folders: files mounted by subPath would not follow a changed Secret or ConfigMap.
          volumeMounts:
            - name: tls
              mountPath: /etc/kube-resource-api/tls
              readOnly: true
            - name: client-ca
              mountPath: /etc/kube-resource-api/client-ca
              readOnly: true
            {{- if $crl }}
            - name: crl
              mountPath: /etc/kube-resource-api/crl
              readOnly: true
            {{- end }}
            {{- if $policy }}
            - name: policy
              mountPath: /etc/kube-resource-api/policy
              readOnly: true
            {{- end }}
            {{- if $redisCa }}
            - name: redis-ca
              mountPath: /etc/kube-resource-api/redis-ca
              readOnly: true
            {{- end }}
      volumes:
        - name: tls
          secret:
            secretName: {{ include "kra.tlsSecretName" . }}
            defaultMode: 0440
        - name: client-ca
          {{- include "kra.fileVolume" (dict "source" .Values.tls.clientCa "value" "tls.clientCa" "path" "ca.crt") | nindent 10 }}
        {{- if $crl }}
        - name: crl
          {{- include "kra.fileVolume" (dict "source" .Values.tls.crl "value" "tls.crl" "path" "ca.crl") | nindent 10 }}
        {{- end }}
        {{- if $policy }}
        - name: policy
          configMap:
            name: {{ include "kra.policyConfigMapName" . }}
            defaultMode: 0440
        {{- end }}
        {{- if $redisCa }}
        - name: redis-ca
          {{- include "kra.fileVolume" (dict "source" .Values.cache.redis.ca "value" "cache.redis.ca" "path" "ca.crt") | nindent 10 }}
        {{- end }}
      {{- with .Values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- range . }}
        - {{- toYaml . | nindent 10 }}
          {{- if not .labelSelector }}
          labelSelector:
            matchLabels:
              {{- include "kra.selector" $one.root | nindent 14 }}
              app.kubernetes.io/component: {{ $one.component }}
          # During a rolling update only new pods count.
          matchLabelKeys: [pod-template-hash]
          {{- end }}
        {{- end }}
      {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
{{- end }}
