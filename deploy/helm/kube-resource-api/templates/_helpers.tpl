{{- define "kra.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kra.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" }}
{{- else if contains (include "kra.name" .) .Release.Name }}
{{- .Release.Name | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "kra.name" .) | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "kra.selector" -}}
app.kubernetes.io/name: {{ include "kra.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kra.labels" -}}
{{ include "kra.selector" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "kra.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "kra.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "kra.watcherName" -}}
{{- printf "%s-watcher" (include "kra.fullname" .) }}
{{- end }}

{{- define "kra.watcherServiceAccountName" -}}
{{- with .Values.watcher.serviceAccount }}
{{- if .create }}
{{- default (include "kra.watcherName" $) .name }}
{{- else }}
{{- required "watcher.serviceAccount.name is needed where watcher.serviceAccount.create is false" .name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Fails if the values of the cache contradict each other. */}}
{{- define "kra.checkCache" -}}
{{- with .Values.cache.redis }}
{{- $given := or .url .existingSecret .sentinels.addresses }}
{{- $ofSentinels := or .sentinels.name .sentinels.tls .sentinels.existingSecret .sentinels.usernameKey .sentinels.sentinelUsernameKey }}
{{- /* Not in the schema, because Helm's error would repeat the value. */}}
{{- $form := `^rediss?://(?:[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?(?:/[0-9]{0,4})?$` }}
{{- if eq $.Values.cache.mode "redis" }}
{{- if not $given }}
{{- fail "cache.mode redis needs a Redis: name cache.redis.existingSecret, or give cache.redis.url if it has no password, or cache.redis.sentinels" }}
{{- else if and .sentinels.addresses (or .url .existingSecret) }}
{{- fail "give cache.redis.sentinels, or the URL of a Redis in cache.redis.existingSecret or cache.redis.url, not both" }}
{{- else if and .url .existingSecret }}
{{- fail "name cache.redis.existingSecret or give cache.redis.url, not both" }}
{{- else if contains "@" .url }}
{{- fail "cache.redis.url may hold no user and no password, because the values and the pods show it: put the URL into a Secret and name it in cache.redis.existingSecret" }}
{{- else if and .url (not (regexMatch $form .url)) }}
{{- fail "cache.redis.url must be a URL such as redis://host:6379/0, or rediss://host:6379/0 for TLS" }}
{{- else if and .sentinels.addresses (not .sentinels.name) }}
{{- fail "cache.redis.sentinels.addresses needs cache.redis.sentinels.name, the name of the primary in the Sentinels' configuration" }}
{{- else if and $ofSentinels (not .sentinels.addresses) }}
{{- fail "cache.redis.sentinels would not be used without cache.redis.sentinels.addresses: give the addresses, or remove cache.redis.sentinels" }}
{{- else if and (or .sentinels.usernameKey .sentinels.sentinelUsernameKey) (not .sentinels.existingSecret) }}
{{- fail "cache.redis.sentinels.usernameKey and sentinelUsernameKey are keys of a Secret: name it in cache.redis.sentinels.existingSecret" }}
{{- else if and .sentinels.addresses (not .sentinels.tls) (or .ca.existingSecret .ca.existingConfigMap) }}
{{- fail "without cache.redis.sentinels.tls there is no certificate for cache.redis.ca to check: set cache.redis.sentinels.tls, or remove cache.redis.ca" }}
{{- else if and (hasPrefix "redis:" .url) (or .ca.existingSecret .ca.existingConfigMap) }}
{{- fail "cache.redis.url begins with redis://, so there is no certificate for cache.redis.ca to check: use rediss://, or remove cache.redis.ca" }}
{{- else if and .url $.Values.networkPolicy.enabled }}
{{- $port := regexReplaceAll $form .url "${1}" | default "6379" }}
{{- if not (has $port (toStrings $.Values.networkPolicy.redisPorts)) }}
{{- fail (printf "cache.redis.url is at port %s, which networkPolicy.redisPorts does not let pods connect to: add it there" $port) }}
{{- end }}
{{- end }}
{{- else if or $given $ofSentinels .ca.existingSecret .ca.existingConfigMap .keyPrefix }}
{{- fail "cache.redis is given but would not be used: set cache.mode to redis, or remove cache.redis" }}
{{- else if $.Values.watcher.enabled }}
{{- fail "watcher.enabled needs cache.mode redis, through which watchers share their state" }}
{{- end }}
{{- end }}
{{- end }}

{{- /*
The prefix of the keys in Redis: unique to the release, at most 64 characters. Each list of namespaces has its own prefix, since
pods cannot become ready from the state of other namespaces: new pods of a roll-out need not wait for the old ones to go.
*/}}
{{- define "kra.redisKeyPrefix" -}}
{{- $own := default (printf "%s:%s" .Release.Namespace (include "kra.fullname" .)) .Values.cache.redis.keyPrefix }}
{{- with .Values.namespaces }}
{{- $own = printf "%s:%s" $own (sortAlpha . | join "," | sha256sum | trunc 8) }}
{{- end }}
{{- ternary $own (printf "%s-%s" (trunc 47 $own) (sha256sum $own | trunc 16)) (le (len $own) 64) }}
{{- end }}

{{- /* The environment variables with the Redis URL, or with the Sentinels and the credentials. */}}
{{- define "kra.redisServer" -}}
{{- with .Values.cache.redis }}
{{- if .sentinels.addresses -}}
- name: REDIS_SENTINELS
  value: {{ join "," .sentinels.addresses | quote }}
- name: REDIS_SENTINEL_NAME
  value: {{ .sentinels.name | quote }}
- name: REDIS_TLS
  value: {{ .sentinels.tls | quote }}
{{- with .sentinels }}
{{- $secret := .existingSecret }}
{{- $keys := dict "REDIS_USERNAME" .usernameKey "REDIS_PASSWORD" .passwordKey "REDIS_SENTINEL_USERNAME" .sentinelUsernameKey "REDIS_SENTINEL_PASSWORD" .sentinelPasswordKey }}
{{- range $name, $key := ternary $keys dict (ne $secret "") }}
{{- if $key }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- else if .existingSecret -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .key }}
{{- else -}}
- name: REDIS_URL
  value: {{ .url | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The ports of the Redis servers and of the Sentinels, separated by commas. */}}
{{- define "kra.redisPorts" -}}
{{- $ports := .Values.networkPolicy.redisPorts }}
{{- range .Values.cache.redis.sentinels.addresses }}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) }}
{{- end }}
{{- $texts := list }}
{{- range $ports }}{{ $texts = append $texts (toString .) }}{{ end }}
{{- join "," (uniq $texts) }}
{{- end }}

{{- define "kra.image" -}}
{{- $repository := required "image.repository is needed: where `make push_docker` pushed the image" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "kra.tlsSecretName" -}}
{{- if and .Values.tls.existingSecret .Values.tls.certManager.enabled }}
{{- fail "name tls.existingSecret or enable tls.certManager, not both" }}
{{- else if .Values.tls.certManager.enabled }}
{{- printf "%s-tls" (include "kra.fullname" .) }}
{{- else }}
{{- required "the server needs a certificate: name tls.existingSecret or enable tls.certManager" .Values.tls.existingSecret }}
{{- end }}
{{- end }}

{{- define "kra.policyConfigMapName" -}}
{{- default (printf "%s-policy" (include "kra.fullname" .)) .Values.authorization.existingConfigMap }}
{{- end }}

{{- /* A file of rules or a dashboard, with its selectors of pods and the CronJob changed to those of this release. */}}
{{- define "kra.ofRelease" -}}
{{- regexReplaceAll `\b((?:cronjob|pod)[=!~]{1,2}\\?")kube-resource-api-` (.root.Files.Get .path) (printf "${1}%s-" (include "kra.fullname" .root)) }}
{{- end }}

{{- define "kra.host" -}}
{{- printf "%s.%s.svc" (include "kra.fullname" .) .Release.Namespace }}
{{- end }}

{{- define "kra.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "kra.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* A volume from a Secret or a ConfigMap, whichever is named. */}}
{{- define "kra.fileVolume" -}}
{{- if and .source.existingSecret .source.existingConfigMap }}
{{- fail (printf "name %s.existingSecret or %s.existingConfigMap, not both" .value .value) }}
{{- else if .source.existingSecret }}
secret:
  secretName: {{ .source.existingSecret }}
  defaultMode: 0440
  items:
    - key: {{ .source.key }}
      path: {{ .path }}
{{- else if .source.existingConfigMap }}
configMap:
  name: {{ .source.existingConfigMap }}
  defaultMode: 0440
  items:
    - key: {{ .source.key }}
      path: {{ .path }}
{{- else }}
{{- fail (printf "name %s.existingSecret or %s.existingConfigMap" .value .value) }}
{{- end }}
{{- end }}
