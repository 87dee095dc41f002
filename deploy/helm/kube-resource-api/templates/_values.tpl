{{- /*
Adds missing values with this chart's defaults. `helm upgrade --reuse-values` uses the defaults of the installed chart, which may
predate these values. Each template that uses these values includes this first.
*/}}
{{- define "kra.addMissingValues" -}}
{{- $defaults := .Files.Get "files/values.yaml" | fromYaml }}
{{- $later := dict
  "cache" $defaults.cache
  "watcher" $defaults.watcher
  "flowSchema" $defaults.flowSchema
  "networkPolicy" (pick $defaults.networkPolicy "redisPorts" "redisTo")
}}
{{- include "kra.addMissing" (dict "to" .Values "from" $later) }}
{{- end }}

{{- /* Sprig's merge would also overwrite false, 0 and "". */}}
{{- define "kra.addMissing" -}}
{{- $to := .to }}
{{- range $name, $value := .from }}
{{- if not (hasKey $to $name) }}
{{- $_ := set $to $name $value }}
{{- else if and (kindIs "map" $value) (ne $name "resources") }}
{{- /* A missing resource was removed by the user. */}}
{{- include "kra.addMissing" (dict "to" (get $to $name) "from" $value) }}
{{- end }}
{{- end }}
{{- end }}
