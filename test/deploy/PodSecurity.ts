/** The rules of the Pod Security Standard `restricted` that apply to the features of these pods. */
import { Schema } from "effect"

const SecurityContext = Schema.Struct({
  runAsNonRoot: Schema.optionalKey(Schema.Boolean),
  runAsUser: Schema.optionalKey(Schema.Number),
  seccompProfile: Schema.optionalKey(Schema.Struct({ type: Schema.String })),
  allowPrivilegeEscalation: Schema.optionalKey(Schema.Boolean),
  privileged: Schema.optionalKey(Schema.Boolean),
  readOnlyRootFilesystem: Schema.optionalKey(Schema.Boolean),
  procMount: Schema.optionalKey(Schema.String),
  capabilities: Schema.optionalKey(
    Schema.Struct({
      add: Schema.optionalKey(Schema.Array(Schema.String)),
      drop: Schema.optionalKey(Schema.Array(Schema.String))
    })
  )
})

const Container = Schema.Struct({
  name: Schema.String,
  image: Schema.String,
  env: Schema.optionalKey(
    Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.optionalKey(Schema.String) }))
  ),
  ports: Schema.optionalKey(Schema.Array(Schema.Struct({ hostPort: Schema.optionalKey(Schema.Number) }))),
  securityContext: SecurityContext
})

/** The fields of a pod specification that the checks read. */
export const PodSpec = Schema.Struct({
  hostNetwork: Schema.optionalKey(Schema.Boolean),
  hostPID: Schema.optionalKey(Schema.Boolean),
  hostIPC: Schema.optionalKey(Schema.Boolean),
  securityContext: SecurityContext,
  containers: Schema.Array(Container),
  initContainers: Schema.optionalKey(Schema.Array(Container)),
  volumes: Schema.optionalKey(Schema.Array(Schema.Record(Schema.String, Schema.Json)))
})
export type PodSpec = typeof PodSpec.Type

const volumeTypes = new Set([
  "configMap",
  "csi",
  "downwardAPI",
  "emptyDir",
  "ephemeral",
  "persistentVolumeClaim",
  "projected",
  "secret"
])

/** The violations of the standard. */
export const violations = (pod: PodSpec): ReadonlyArray<string> => [
  ...(pod.hostNetwork === true || pod.hostPID === true || pod.hostIPC === true ? ["host namespaces"] : []),
  ...(pod.volumes ?? []).flatMap((volume) =>
    Object.keys(volume)
      .filter((key) => key !== "name" && !volumeTypes.has(key))
      .map((key) => `volume of type ${key}`)
  ),
  ...[...pod.containers, ...(pod.initContainers ?? [])].flatMap(({ name, ports = [], securityContext: own }) => {
    const broken = {
      privileged: own.privileged === true,
      "privilege escalation": own.allowPrivilegeEscalation !== false,
      "runs as root": (own.runAsNonRoot ?? pod.securityContext.runAsNonRoot) !== true,
      "user 0": (own.runAsUser ?? pod.securityContext.runAsUser) === 0,
      seccomp: !["RuntimeDefault", "Localhost"].includes(
        (own.seccompProfile ?? pod.securityContext.seccompProfile)?.type ?? ""
      ),
      "capabilities not dropped": own.capabilities?.drop?.includes("ALL") !== true,
      "capabilities added": (own.capabilities?.add ?? []).some((one) => one !== "NET_BIND_SERVICE"),
      "host port": ports.some(({ hostPort }) => hostPort !== undefined && hostPort !== 0),
      "proc mount": (own.procMount ?? "Default") !== "Default"
    }
    return Object.entries(broken)
      .filter(([, is]) => is)
      .map(([what]) => `${name}: ${what}`)
  })
]
