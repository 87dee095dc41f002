/** A Deployment and a Namespace of realistic size and content, as `kubectl get --output=json` shows them. */
import type { Json } from "./KubeMessages.ts"

/** The fields that differ between objects. Their texts have a fixed width, so encoded objects can be changed in place. */
export interface Identity {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
}

const app = "checkout"
const image = `registry.example.com/shop/${app}@sha256:8f1b7c0c6ac0d6f3b1a52bd1f4ea63b7cc1b4b2a9d9e8b36cf0f6d02a4f0c6aa`
const created = "2026-03-02T09:14:05Z"
const updated = "2026-11-20T16:40:31Z"

const labels = {
  app,
  "app.kubernetes.io/component": "api",
  "app.kubernetes.io/instance": "checkout-production",
  "app.kubernetes.io/managed-by": "Helm",
  "app.kubernetes.io/name": app,
  "app.kubernetes.io/part-of": "shop",
  "app.kubernetes.io/version": "4.17.2",
  "helm.sh/chart": "checkout-4.17.2",
  team: "payments"
}

const values = {
  HTTP_PORT: "8080",
  GRPC_PORT: "9090",
  LOG_LEVEL: "info",
  REGION: "eu-central-1",
  SHUTDOWN_TIMEOUT: "25s",
  MAX_CONNECTIONS: "2000",
  CART_URL: "http://cart.shop.svc:8080",
  PRICING_URL: "http://pricing.shop.svc:8080",
  KAFKA_BROKERS: "kafka-0.kafka:9092,kafka-1.kafka:9092",
  OTEL_EXPORTER_OTLP_ENDPOINT: "http://otel-collector.observability.svc:4318",
  OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
  OTEL_TRACES_SAMPLER_ARG: "0.01"
}
const configured = [
  "CACHE_TTL",
  "CURRENCY",
  "EXPRESS",
  "GIFT_CARDS",
  "INVENTORY",
  "LOYALTY",
  "RETRIES",
  "TAXES",
  "VOUCHERS"
]
const secret = ["API_KEY", "DATABASE_URL", "DATABASE_USER", "DATABASE_PASSWORD", "PAYMENT_KEY", "SESSION_KEY"]
const fields = { POD_NAME: "metadata.name", POD_NAMESPACE: "metadata.namespace", POD_IP: "status.podIP" }

const references = [
  ...configured.map((name) => ({ name, valueFrom: { configMapKeyRef: { name: "checkout-config", key: name } } })),
  ...secret.map((name) => ({ name, valueFrom: { secretKeyRef: { name: "checkout-secrets", key: name } } })),
  ...Object.entries(fields).map(([name, fieldPath]) => ({
    name,
    valueFrom: { fieldRef: { apiVersion: "v1", fieldPath } }
  }))
]

// 30 environment variables.
const env = [...Object.entries(values).map(([name, value]) => ({ name, value })), ...references]

const probe = (path: string, periodSeconds: number, failureThreshold: number) => ({
  httpGet: { path, port: "http", scheme: "HTTP" },
  timeoutSeconds: 1,
  periodSeconds,
  successThreshold: 1,
  failureThreshold
})

const resources = (cpu: string, memory: string) => ({ limits: { memory }, requests: { cpu, memory } })

const main = {
  name: app,
  image,
  ports: [
    { name: "http", containerPort: 8080, protocol: "TCP" },
    { name: "grpc", containerPort: 9090, protocol: "TCP" },
    { name: "metrics", containerPort: 9100, protocol: "TCP" }
  ],
  env,
  resources: resources("500m", "1Gi"),
  volumeMounts: [
    { name: "config", readOnly: true, mountPath: "/etc/checkout" },
    { name: "certificates", readOnly: true, mountPath: "/etc/tls" }
  ],
  livenessProbe: probe("/livez", 10, 3),
  readinessProbe: probe("/readyz", 5, 3),
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  imagePullPolicy: "IfNotPresent",
  startupProbe: probe("/livez", 2, 60)
}

const proxy = {
  name: "proxy",
  image: "registry.example.com/mesh/proxy:1.31.4",
  ports: [
    { name: "admin", containerPort: 15000, protocol: "TCP" },
    { name: "proxy", containerPort: 15001, protocol: "TCP" }
  ],
  resources: resources("100m", "128Mi"),
  readinessProbe: { ...probe("/ready", 5, 3), httpGet: { path: "/ready", port: 15000, scheme: "HTTP" } },
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  imagePullPolicy: "IfNotPresent"
}

const logs = {
  name: "logs",
  image: "registry.example.com/observability/log-forwarder:3.2.1",
  ports: [{ name: "health", containerPort: 2020, protocol: "TCP" }],
  env: references.slice(0, 6),
  resources: resources("50m", "64Mi"),
  volumeMounts: [{ name: "config", readOnly: true, mountPath: "/etc/logs" }],
  livenessProbe: { ...probe("/health", 10, 3), httpGet: { path: "/health", port: 2020, scheme: "HTTP" } },
  readinessProbe: { ...probe("/health", 5, 3), httpGet: { path: "/health", port: 2020, scheme: "HTTP" } },
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  imagePullPolicy: "IfNotPresent"
}

const selected = {
  matchLabels: { "app.kubernetes.io/instance": "checkout-production", "app.kubernetes.io/name": app }
}

const podSpec = {
  volumes: [
    { name: "config", configMap: { name: "checkout-config", defaultMode: 420 } },
    { name: "certificates", secret: { secretName: "checkout-tls", defaultMode: 420 } }
  ],
  containers: [main, proxy, logs],
  restartPolicy: "Always",
  terminationGracePeriodSeconds: 30,
  dnsPolicy: "ClusterFirst",
  nodeSelector: { "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux" },
  serviceAccountName: app,
  serviceAccount: app,
  securityContext: { runAsUser: 65532, fsGroup: 65532 },
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { labelSelector: selected, topologyKey: "kubernetes.io/hostname" } }
      ]
    }
  },
  schedulerName: "default-scheduler",
  tolerations: [
    { key: "dedicated", operator: "Equal", value: "shop", effect: "NoSchedule" },
    { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 },
    { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 60 }
  ],
  priorityClassName: "business-critical",
  topologySpreadConstraints: ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map((topologyKey) => ({
    maxSkew: 1,
    topologyKey,
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: selected
  }))
}

const podAnnotations = {
  "checksum/config": "5c1f0e3c1f1a64f4b86b1dd2c37b5b0ccd2ff2a11b3de3a9dbd41ef5ca25dd41",
  "prometheus.io/port": "9100",
  "prometheus.io/scrape": "true"
}

// `fieldsV1` owns these as a whole.
const atomic = new Set([
  "configMapKeyRef",
  "secretKeyRef",
  "fieldRef",
  "matchLabels",
  "nodeSelector",
  "tolerations",
  "preferredDuringSchedulingIgnoredDuringExecution"
])

// The API server sets these, so kubectl does not own them.
const defaulted = new Set([
  "creationTimestamp",
  "dnsPolicy",
  "progressDeadlineSeconds",
  "restartPolicy",
  "revisionHistoryLimit",
  "schedulerName",
  "scheme",
  "serviceAccount",
  "successThreshold",
  "terminationMessagePath",
  "terminationMessagePolicy",
  "timeoutSeconds"
])

const keyOf = (element: Json): string =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(element).filter(([key]) =>
        ["containerPort", "mountPath", "name", "topologyKey", "type"].includes(key)
      )
    )
  )

/** A value in the format of `fieldsV1`. */
const owned = (value: Json): Json => {
  if (typeof value !== "object") return {}
  return Object.fromEntries(
    Array.isArray(value)
      ? value.map((element) => [
          `k:${keyOf(element)}`,
          { ".": {}, ...Object.fromEntries(Object.entries(owned(element))) }
        ])
      : Object.entries(value).flatMap(([key, member]) =>
          defaulted.has(key) ? [] : [[`f:${key}`, atomic.has(key) ? {} : owned(member)]]
        )
  )
}

const condition = (type: string, reason: string, message: string) => ({
  type,
  status: "True",
  lastUpdateTime: updated,
  lastTransitionTime: created,
  reason,
  message
})

const status = {
  observedGeneration: 214,
  replicas: 12,
  updatedReplicas: 12,
  readyReplicas: 12,
  availableReplicas: 12,
  conditions: [
    condition("Available", "MinimumReplicasAvailable", "Deployment has minimum availability."),
    condition("Progressing", "NewReplicaSetAvailable", 'ReplicaSet "checkout-6c5b8d9f7b" has successfully progressed.')
  ]
}

const specWith = (replicas: number) => ({
  replicas,
  selector: selected,
  template: { metadata: { creationTimestamp: created, labels, annotations: podAnnotations }, spec: podSpec },
  strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" } },
  revisionHistoryLimit: 10,
  progressDeadlineSeconds: 600
})

const annotations = {
  "deployment.kubernetes.io/revision": "87",
  "meta.helm.sh/release-name": "checkout-production",
  "meta.helm.sh/release-namespace": "shop"
}

const managedFields = [
  {
    manager: "kubectl",
    operation: "Apply",
    apiVersion: "apps/v1",
    time: updated,
    fieldsType: "FieldsV1",
    fieldsV1: { "f:metadata": { "f:labels": owned(labels) }, "f:spec": owned(specWith(1)) }
  },
  {
    manager: "kube-controller-manager",
    operation: "Update",
    apiVersion: "apps/v1",
    time: updated,
    fieldsType: "FieldsV1",
    fieldsV1: {
      "f:metadata": { "f:annotations": { ".": {}, "f:deployment.kubernetes.io/revision": {} } },
      "f:status": owned(status)
    },
    subresource: "status"
  }
]

/** A Deployment without `kind` and `apiVersion`. */
export const realisticDeployment = ({ name, namespace, resourceVersion, uid }: Identity, replicas: number) => ({
  metadata: {
    name,
    namespace,
    uid,
    resourceVersion,
    generation: 214,
    creationTimestamp: created,
    labels,
    annotations,
    managedFields
  },
  spec: specWith(replicas),
  status
})

/** A Namespace without `kind` and `apiVersion`. */
export const realisticNamespace = ({ name, resourceVersion, uid }: Omit<Identity, "namespace">) => ({
  metadata: {
    name,
    uid,
    resourceVersion,
    creationTimestamp: created,
    labels: { "kubernetes.io/metadata.name": name, team: "payments" }
  },
  spec: {},
  status: { phase: "Active" }
})
