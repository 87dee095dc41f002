/**
 * Writes objects in Kubernetes protobuf from their JSON, as the API server does. The field numbers are those of
 * `generated.proto` in k8s.io/api and k8s.io/apimachinery. Only the fields of the benchmarks' objects are declared.
 */
import type { MessageWriter } from "../src/embedded/wire/MessageWriter.ts"

/** A value of JSON without null. */
export type Json = string | number | boolean | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** Writes a field of a message, from its value in JSON. */
type Field = (writer: MessageWriter, value: Json | undefined) => void

/** The fields of a message by their names in JSON, in the order of their numbers. */
export type Message = Readonly<Record<string, Field>>

const membersOf = (value: Json | undefined): Readonly<Record<string, Json>> =>
  typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value)) : {}

const elementsOf = (value: Json | undefined): ReadonlyArray<Json> => (Array.isArray(value) ? value : [])

/** Writes the fields of a message. */
export const write = (writer: MessageWriter, message: Message, value: Json | undefined): void => {
  const members = membersOf(value)
  const unknown = Object.keys(members).find((key) => message[key] === undefined)
  if (unknown !== undefined) throw new Error(`no number for the field ${unknown}`)
  for (const [key, field] of Object.entries(message)) field(writer, members[key])
}

// Go writes a field that is not a pointer even if it is empty.
const text =
  (number: number): Field =>
  (writer, value) =>
    writer.text(number, value === undefined ? "" : String(value))

const integer =
  (number: number): Field =>
  (writer, value) =>
    writer.integer(number, Number(value ?? 0))

const optional =
  (field: Field): Field =>
  (writer, value) => {
    if (value !== undefined) field(writer, value)
  }

const message = (number: number, fields: Message): Field =>
  optional((writer, value) => writer.message(number, (nested) => write(nested, fields, value)))

const each =
  (number: number, fields: Message): Field =>
  (writer, values) => {
    for (const value of elementsOf(values)) writer.message(number, (nested) => write(nested, fields, value))
  }

/** A message with one field, which JSON inlines. */
const inline = (number: number, field: Field): Field =>
  optional((writer, value) => writer.message(number, (nested) => field(nested, value)))

const map =
  (number: number, field: Field): Field =>
  (writer, value) => {
    for (const [key, member] of Object.entries(membersOf(value))) {
      writer.message(number, (entry) => field(entry.text(1, key), member))
    }
  }

const time = (number: number): Field =>
  optional((writer, value) =>
    writer.message(number, (time) => time.integer(1, Date.parse(String(value)) / 1000).integer(2, 0))
  )

const intOrString = (number: number): Field =>
  optional((writer, value) =>
    writer.message(number, (union) =>
      typeof value === "string"
        ? union.integer(1, 1).integer(2, 0).text(3, value)
        : union.integer(1, 0).integer(2, Number(value)).text(3, "")
    )
  )

const fieldsV1 = (number: number): Field =>
  optional((writer, value) => writer.message(number, (fields) => fields.text(1, JSON.stringify(value))))

const managedFields: Message = {
  manager: text(1),
  operation: text(2),
  apiVersion: text(3),
  time: time(4),
  fieldsType: text(6),
  fieldsV1: fieldsV1(7),
  subresource: text(8)
}

const objectMeta: Message = {
  name: text(1),
  generateName: text(2),
  namespace: text(3),
  selfLink: text(4),
  uid: text(5),
  resourceVersion: text(6),
  generation: integer(7),
  creationTimestamp: time(8),
  labels: map(11, text(2)),
  annotations: map(12, text(2)),
  managedFields: each(17, managedFields)
}

const selector: Message = { name: inline(1, text(1)), key: text(2) }

const envVar: Message = {
  name: text(1),
  value: text(2),
  valueFrom: message(3, {
    fieldRef: message(1, { apiVersion: text(1), fieldPath: text(2) }),
    configMapKeyRef: message(3, selector),
    secretKeyRef: message(4, selector)
  })
}

const quantities = (number: number): Field => map(number, inline(2, text(1)))

const probe: Message = {
  httpGet: inline(1, message(2, { path: text(1), port: intOrString(2), host: text(3), scheme: text(4) })),
  initialDelaySeconds: integer(2),
  timeoutSeconds: integer(3),
  periodSeconds: integer(4),
  successThreshold: integer(5),
  failureThreshold: integer(6)
}

const container: Message = {
  name: text(1),
  image: text(2),
  workingDir: text(5),
  ports: each(6, {
    name: text(1),
    hostPort: integer(2),
    containerPort: integer(3),
    protocol: text(4),
    hostIP: text(5)
  }),
  env: each(7, envVar),
  resources: message(8, { limits: quantities(1), requests: quantities(2) }),
  volumeMounts: each(9, { name: text(1), readOnly: integer(2), mountPath: text(3), subPath: text(4) }),
  livenessProbe: message(10, probe),
  readinessProbe: message(11, probe),
  terminationMessagePath: text(13),
  imagePullPolicy: text(14),
  stdin: integer(16),
  stdinOnce: integer(17),
  tty: integer(18),
  terminationMessagePolicy: text(20),
  startupProbe: message(22, probe)
}

const volume: Message = {
  name: text(1),
  secret: inline(2, message(6, { secretName: text(1), defaultMode: optional(integer(3)) })),
  configMap: inline(2, message(19, { name: inline(1, text(1)), defaultMode: optional(integer(3)) }))
}

const labelSelector: Message = { matchLabels: map(1, text(2)) }

const toleration: Message = {
  key: text(1),
  operator: text(2),
  value: text(3),
  effect: text(4),
  tolerationSeconds: optional(integer(5))
}

const affinityTerm: Message = { labelSelector: message(1, labelSelector), topologyKey: text(3) }

const antiAffinity: Message = {
  preferredDuringSchedulingIgnoredDuringExecution: each(2, {
    weight: integer(1),
    podAffinityTerm: message(2, affinityTerm)
  })
}

const podSpec: Message = {
  volumes: each(1, volume),
  containers: each(2, container),
  restartPolicy: text(3),
  terminationGracePeriodSeconds: optional(integer(4)),
  dnsPolicy: text(6),
  nodeSelector: map(7, text(2)),
  serviceAccountName: text(8),
  serviceAccount: text(9),
  nodeName: text(10),
  hostNetwork: integer(11),
  hostPID: integer(12),
  hostIPC: integer(13),
  securityContext: message(14, { runAsUser: optional(integer(2)), fsGroup: optional(integer(5)) }),
  hostname: text(16),
  subdomain: text(17),
  affinity: message(18, { podAntiAffinity: message(3, antiAffinity) }),
  schedulerName: text(19),
  tolerations: each(22, toleration),
  priorityClassName: text(24),
  topologySpreadConstraints: each(33, {
    maxSkew: integer(1),
    topologyKey: text(2),
    whenUnsatisfiable: text(3),
    labelSelector: message(4, labelSelector)
  })
}

/** `apps/v1` Deployment. */
export const deployment: Message = {
  metadata: message(1, objectMeta),
  spec: message(2, {
    replicas: optional(integer(1)),
    selector: message(2, labelSelector),
    template: message(3, { metadata: message(1, objectMeta), spec: message(2, podSpec) }),
    strategy: message(4, {
      type: text(1),
      rollingUpdate: message(2, { maxUnavailable: intOrString(1), maxSurge: intOrString(2) })
    }),
    minReadySeconds: integer(5),
    revisionHistoryLimit: optional(integer(6)),
    paused: integer(7),
    progressDeadlineSeconds: optional(integer(9))
  }),
  status: message(3, {
    observedGeneration: integer(1),
    replicas: integer(2),
    updatedReplicas: integer(3),
    availableReplicas: integer(4),
    unavailableReplicas: integer(5),
    conditions: each(6, {
      type: text(1),
      status: text(2),
      reason: text(4),
      message: text(5),
      lastUpdateTime: time(6),
      lastTransitionTime: time(7)
    }),
    readyReplicas: integer(7)
  })
}

/** `v1` Namespace. */
export const namespace: Message = {
  metadata: message(1, objectMeta),
  spec: message(2, {}),
  status: message(3, { phase: text(1) })
}
