{{- /*
Adds this chart's default values that are missing. `helm upgrade --reuse-values` takes the defaults of the release's chart, which
may be from before the shared cache. Each template that uses these values includes this first.
*/}}
{{- define "kra.addMissingValues" -}}
{{- $defaults := .Files.Get "files/values.yaml" | fromYaml }}
{{- $later := dict
  "cache" $defaults.cache
  "watcher" $defaults.watcher
  "networkPolicy" (pick $defaults.networkPolicy "redisPorts" "redisTo")
}}
{{- include "kra.addMissing" (dict "to" .Values "from" $later) }}
{{- end }}

{{- /* Sprig's merge would also replace false, 0 and "". */}}
{{- define "kra.addMissing" -}}
{{- $to := .to }}
{{- range $name, $value := .from }}
{{- if not (hasKey $to $name) }}
{{- $_ := set $to $name $value }}
{{- else if and (kindIs "map" $value) (ne $name "resources") }}
{{- /* A resource that is missing is one that the user removed. */}}
{{- include "kra.addMissing" (dict "to" (get $to $name) "from" $value) }}
{{- end }}
{{- end }}
{{- end }}
