import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Predicate, Schema } from "effect"
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse, stringify } from "yaml"
import * as Config from "../../src/settings/Settings.ts"
import * as ProbeConfig from "../../src/probe/ProbeConfig.ts"
import { chart, helm, kubectl, type Manifest, named, problems, render, renderAs, renderFrom } from "./Manifest.ts"
import { PodSpec, violations } from "./PodSecurity.ts"

const root = new URL("../..", import.meta.url)
const valuesFiles = readdirSync(`${chart}/ci`)
  .map((name) => `${chart}/ci/${name}`)
  .concat(new URL("deploy/helm/example-values.yaml", root).pathname)
const minimal = ["--values", `${chart}/ci/minimal-values.yaml`]
const sentinels = "cache.redis.sentinels.name=main,cache.redis.sentinels.addresses={a:26379}"
const everything = ["--values", `${chart}/ci/everything-values.yaml`]

const scraped = [
  "--set",
  "metrics.serviceMonitor.enabled=true",
  "--set",
  "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring"
]
const monitored = [...scraped, "--set", "metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true"]

/** The arguments that are added to each values file. */
const toggles: ReadonlyArray<ReadonlyArray<string>> = [
  [],
  ["--set", "autoscaling.enabled=false,podDisruptionBudget.enabled=false,networkPolicy.enabled=false,metrics.port=0"],
  [...monitored, "--set", "metrics.port=9100"],
  ["--set", "probe.existingSecret=client,probe.cronJob.enabled=true"],
  ["--set", "serviceAccount.create=false,serviceAccount.name=given,rbac.create=false,auditEvents=true"],
  [
    "--set",
    "watcher.serviceAccount.create=false,watcher.serviceAccount.name=given,watcher.podDisruptionBudget.enabled=false"
  ],
  ["--set", "tls.crl.existingSecret=crl,service.type=LoadBalancer,replicaCount=1,settings.LOG_LEVEL=warn"],
  ["--set", `fullnameOverride=${"a".repeat(63)}`]
]
const matrix = valuesFiles.flatMap((file) =>
  toggles
    // These values enable a ServiceMonitor of the metrics port.
    .filter((toggle) => !(file.includes("everything") && String(toggle).includes("metrics.port=0")))
    .map((toggle) => ["--values", file].concat(toggle))
)

const decodePod = Schema.decodeUnknownEffect(PodSpec)
const Template = Schema.Struct({ spec: Schema.Unknown })
const Workload = Schema.Struct({ spec: Schema.Struct({ template: Template }) })
const Cron = Schema.Struct({ spec: Schema.Struct({ jobTemplate: Workload }) })
const decodeWorkload = Schema.decodeUnknownEffect(Workload)
const ServiceAccount = Schema.Struct({ name: Schema.String, namespace: Schema.String })
const FlowSchema = Schema.Struct({
  spec: Schema.Struct({
    rules: Schema.Array(Schema.Struct({ subjects: Schema.Array(Schema.Struct({ serviceAccount: ServiceAccount })) }))
  })
})
const decodeFlowSchema = Schema.decodeUnknownEffect(FlowSchema)
const decodeCron = Schema.decodeUnknownEffect(Cron)
const decodeBare = Schema.decodeUnknownEffect(Template)

const podsOf = Effect.fnUntraced(function* (manifests: ReadonlyArray<Manifest>) {
  const pods: Array<PodSpec> = []
  for (const manifest of manifests) {
    switch (manifest.kind) {
      case "Deployment":
        pods.push(yield* decodePod((yield* decodeWorkload(manifest)).spec.template.spec))
        break
      case "CronJob":
        pods.push(yield* decodePod((yield* decodeCron(manifest)).spec.jobTemplate.spec.template.spec))
        break
      case "Pod":
        pods.push(yield* decodePod((yield* decodeBare(manifest)).spec))
        break
      default:
        break
    }
  }
  return pods
})

const Service = Schema.Struct({
  metadata: Schema.Struct({
    name: Schema.String,
    labels: Schema.Record(Schema.String, Schema.String),
    annotations: Schema.optionalKey(Schema.Unknown)
  }),
  spec: Schema.Struct({
    type: Schema.String,
    selector: Schema.Record(Schema.String, Schema.String),
    ports: Schema.Array(Schema.Struct({ name: Schema.String, targetPort: Schema.String }))
  })
})
const Monitor = Schema.Struct({
  spec: Schema.Struct({
    selector: Schema.Struct({ matchLabels: Schema.Record(Schema.String, Schema.String) }),
    endpoints: Schema.NonEmptyArray(Schema.Struct({ port: Schema.String, relabelings: Schema.Unknown }))
  })
})
const NetworkPolicy = Schema.Struct({ spec: Schema.Struct({ ingress: Schema.Array(Schema.Unknown) }) })
const decodeService = Schema.decodeUnknownEffect(Service)
const decodeMonitor = Schema.decodeUnknownEffect(Monitor)
const decodeNetworkPolicy = Schema.decodeUnknownEffect(NetworkPolicy)

const filesOf = (folder: string, end: string) => {
  const place = new URL(`deploy/${folder}/`, root)
  return readdirSync(place)
    .filter((file) => file.endsWith(end))
    .map((file) => [file, readFileSync(new URL(file, place), "utf8")] as const)
}
const ruleGroups = () => filesOf("prometheus", ".yaml").flatMap(([, text]) => parse(text).groups ?? [])
const dashboards = () => Object.fromEntries(filesOf("grafana", ".json"))
const rulesOf = (manifests: ReadonlyArray<Manifest>) => named(manifests, "PrometheusRule").map((one) => one["spec"])
const dashboardsOf = (manifests: ReadonlyArray<Manifest>) =>
  named(manifests, "ConfigMap")
    .filter(({ metadata }) => metadata.name.endsWith("-dashboard"))
    .map((one) => one["data"])

/** A PromQL selector of a label of kube-state-metrics that names a Kubernetes object, in a string of JSON. */
const objectSelector = /\b(?:cronjob|pod|deployment|job_name|container|namespace)[=!~]{1,2}\\+"[^"\\]*\\+"/g
const objectSelectors = (json: string) =>
  [...new Set(json.match(objectSelector) ?? [])].map((one) => one.replaceAll("\\", "")).toSorted()

/** Values of the chart. */
interface Values {
  [name: string]: unknown
}
const isValues = (value: unknown): value is Values => Predicate.isObject(value)

/** The path of each value, and of each group of them. */
const pathsOf = (values: Values): ReadonlyArray<ReadonlyArray<string>> =>
  Object.entries(values).flatMap(([name, value]) =>
    [[name]].concat(isValues(value) ? pathsOf(value).map((path) => [name].concat(path)) : [])
  )

/** These values without the one at the path. */
const without = (values: Values, [name = "", ...rest]: ReadonlyArray<string>): Values =>
  Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) => {
      if (key !== name) return [[key, value] as const]
      return rest.length > 0 && isValues(value) ? [[key, without(value, rest)] as const] : []
    })
  )

describe("the chart", () => {
  for (const file of valuesFiles) {
    it.live(`passes helm lint --strict with ${file.slice(chart.length + 4)}`, () =>
      helm("lint", "--strict", chart, "--values", file)
    )
  }

  for (const words of matrix) {
    it.live(
      `with ${words.join(" ").replaceAll(`${chart}/ci/`, "")}: all manifests are valid, all pods restricted`,
      () =>
        Effect.gen(function* () {
          const manifests = yield* render(...words)
          assert.isAtLeast(manifests.length, 2)
          for (const manifest of manifests) {
            assert.deepStrictEqual(yield* problems(manifest), [], `${manifest.kind} ${manifest.metadata.name}`)
            assert.isAtMost(manifest.metadata.name.length, 63 + "served-".length)
            assert.strictEqual(manifest.metadata.labels["app.kubernetes.io/instance"], "release")
          }
          const identities = manifests.map(
            ({ kind, metadata }) => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`
          )
          assert.strictEqual(new Set(identities).size, identities.length)
          const pods = yield* podsOf(manifests)
          assert.isNotEmpty(pods)
          for (const pod of pods) {
            assert.deepStrictEqual(violations(pod), [])
            for (const { securityContext } of pod.containers) assert.isTrue(securityContext.readOnlyRootFilesystem)
          }
        })
    )
  }

  it.live("is checked by validators that find errors", () =>
    Effect.gen(function* () {
      const [service] = named(yield* render(...minimal), "Service")
      assert(service !== undefined)
      const wrong = { ...service, spec: { ports: [{ port: "https", targetProt: 1 }], typo: {} } }
      assert.match((yield* problems(wrong)).join(), /integer/)
      const misspelt = { ...service, spec: { ports: [{ port: 1, targetProt: 1 }], selektor: { a: "b" } } }
      assert.deepStrictEqual(yield* problems(misspelt), [
        "there is no field Service.spec.ports.0.targetProt",
        "there is no field Service.spec.selektor",
        "there is no field Service.spec.selektor.a"
      ])
      const [pod] = yield* podsOf(yield* render(...minimal))
      assert(pod !== undefined)
      assert.isNotEmpty(violations({ ...pod, hostNetwork: true }))
      assert.isNotEmpty(violations({ ...pod, securityContext: {} }))
      assert.isNotEmpty(
        violations({ ...pod, containers: pod.containers.map((one) => ({ ...one, securityContext: {} })) })
      )
      assert.isNotEmpty(violations({ ...pod, volumes: [{ name: "host", hostPath: { path: "/" } }] }))
    })
  )

  it.live("renders workloads that kubectl decodes into Kubernetes' own types", () =>
    Effect.gen(function* () {
      const workloads = (yield* render(...everything)).filter(({ kind }) => /^(?:Deployment|CronJob|Pod)$/.test(kind))
      assert.strictEqual(workloads.length, 3)
      const read = (manifest: Manifest, from = "", to = "") =>
        kubectl(JSON.stringify(manifest).replace(from, to), "set", "env", "--local", "-f", "-", "A=b", "-o", "name")
      for (const manifest of workloads) assert.include(yield* read(manifest), manifest.metadata.name)
      const [deployment] = named(workloads, "Deployment")
      assert(deployment !== undefined)
      const refusal = yield* Effect.flip(read(deployment, '"containerPort":8443', '"containerPort":"https"'))
      assert.match(refusal.message, /cannot unmarshal string/)
    })
  )

  it.live("renders the same from its package, which includes the linked rules and dashboards", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-chart-"))
      yield* helm("package", chart, "--destination", folder)
      const [archive = ""] = readdirSync(folder)
      assert.deepStrictEqual(yield* renderFrom(join(folder, archive), ...everything), yield* render(...everything))
    })
  )

  describe("after `helm upgrade --reuse-values`, which takes the default values of the release's chart,", () => {
    /** This chart with other default values. Helm's `reuseValues` replaces them in the same way. */
    const chartWith = (values: Values): string => {
      const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-chart-"))
      cpSync(chart, folder, { recursive: true, dereference: true })
      writeFileSync(join(folder, "values.yaml"), stringify(values))
      return folder
    }
    const defaults: Values = parse(readFileSync(`${chart}/values.yaml`, "utf8"))
    const ofSharedCache = [["cache"], ["watcher"], ["networkPolicy", "redisPorts"], ["networkPolicy", "redisTo"]]
    const beforeTheSharedCache = chartWith(ofSharedCache.reduce(without, defaults))
    for (const file of valuesFiles) {
      it.live(`renders the same if that chart had no shared cache, with ${file.slice(file.lastIndexOf("/") + 1)}`, () =>
        Effect.gen(function* () {
          const words = ["--values", file]
          assert.deepStrictEqual(yield* renderFrom(beforeTheSharedCache, ...words), yield* render(...words))
        })
      )
    }

    it.live("renders the same without any one of the values that came later", () =>
      Effect.gen(function* () {
        const words = ["--values", `${chart}/ci/split-values.yaml`]
        const expected = yield* render(...words)
        const later = pathsOf(defaults).filter((path) =>
          ofSharedCache.some((start) => start.every((name, at) => path[at] === name))
        )
        assert.isAbove(later.length, 15)
        yield* Effect.forEach(
          // A missing limit is one that the user removed.
          later.filter((path) => !path.includes("resources")),
          (path) =>
            Effect.gen(function* () {
              const older = chartWith(without(defaults, path))
              assert.deepStrictEqual(yield* renderFrom(older, ...words), expected, path.join("."))
            }),
          { concurrency: 2 }
        )
      })
    )

    it.live("keeps a limit that the user removed", () =>
      Effect.gen(function* () {
        const words = ["--values", `${chart}/ci/split-values.yaml`, "--set", "watcher.resources.limits=null"]
        const [, watcher] = named(yield* render(...words), "Deployment")
        assert.notInclude(JSON.stringify(watcher), '"limits"')
      })
    )
  })

  it.live("renders every kind of object with all features enabled", () =>
    Effect.gen(function* () {
      const kinds = new Set((yield* render(...everything)).map(({ kind }) => kind))
      for (const kind of [
        "Certificate",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CronJob",
        "Deployment",
        "FlowSchema",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor"
      ]) {
        assert.isTrue(kinds.has(kind), kind)
      }
    })
  )

  it.live("sets only settings that exist and fit together, and reserves them in the schema of the values", () =>
    Effect.gen(function* () {
      const known = new Set<string>(Object.values(Config.settings).map(({ name }) => name))
      const ownSchema: unknown = JSON.parse(readFileSync(`${chart}/values.schema.json`, "utf8"))
      const { properties } = yield* Schema.decodeUnknownEffect(
        Schema.Struct({
          properties: Schema.Struct({
            settings: Schema.Struct({
              propertyNames: Schema.Struct({ not: Schema.Struct({ enum: Schema.Array(Schema.String) }) })
            })
          })
        })
      )(ownSchema)
      const reserved = properties.settings.propertyNames.not.enum
      const probing = new Set<string>(Object.values(ProbeConfig.settings).map(({ name }) => name))
      const probes = (yield* render(...everything)).filter(({ kind }) => kind === "CronJob" || kind === "Pod")
      for (const { env = [] } of (yield* podsOf(probes)).flatMap((pod) => pod.containers)) {
        assert.isAbove(env.length, 4)
        for (const { name } of env) assert.isTrue(probing.has(name), `${name} is no setting of the probe`)
      }
      for (const words of matrix) {
        const manifests = named(yield* render(...words), "Deployment")
        for (const { env = [] } of (yield* podsOf(manifests)).flatMap((pod) => pod.containers)) {
          const names = env
            .map(({ name }) => name)
            .filter((name) => !/^(?:LOG_LEVEL|RATE_LIMIT_WRITES|NODE_OPTIONS)$/.test(name))
          for (const name of names) {
            assert.isTrue(known.has(name), `${name} is no setting`)
            assert.include(reserved, name)
          }
          // The URL, the users and the passwords of Redis have no value, because they come from a Secret.
          const environment: Record<string, string> = {}
          for (const { name, value = "rediss://user:password@redis" } of env) environment[name] = value
          yield* Config.load.pipe(
            Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: environment }))
          )
        }
      }
      for (const name of reserved) assert.isTrue(known.has(name), `${name} is no setting`)
    })
  )

  it.live("rolls out without losing a pod, probes over HTTPS, and gives servers time to drain", () =>
    Effect.gen(function* () {
      const [deployment, watcher] = named(
        yield* render(
          "--values",
          `${chart}/ci/split-values.yaml`,
          "--set",
          "shutdown.preStopSeconds=3,shutdown.drainSeconds=7,shutdown.timeoutSeconds=11"
        ),
        "Deployment"
      )
      const probe = (path: string) =>
        Schema.Struct({
          httpGet: Schema.Struct({
            path: Schema.Literal(path),
            port: Schema.Literal("https"),
            scheme: Schema.Literal("HTTPS")
          })
        })
      const rolling = (graceSeconds: number, lifecycle: Schema.Struct.Fields) =>
        Schema.decodeUnknownEffect(
          Schema.Struct({
            spec: Schema.Struct({
              strategy: Schema.Struct({
                type: Schema.Literal("RollingUpdate"),
                rollingUpdate: Schema.Struct({ maxUnavailable: Schema.Literal(0) })
              }),
              template: Schema.Struct({
                spec: Schema.Struct({
                  terminationGracePeriodSeconds: Schema.Literal(graceSeconds),
                  topologySpreadConstraints: Schema.NonEmptyArray(Schema.Unknown),
                  containers: Schema.Tuple([
                    Schema.Struct({
                      startupProbe: probe("/livez"),
                      livenessProbe: probe("/livez"),
                      readinessProbe: probe("/readyz"),
                      resources: Schema.Struct({
                        requests: Schema.Struct({ cpu: Schema.String, memory: Schema.String }),
                        limits: Schema.Struct({ memory: Schema.String })
                      }),
                      ...lifecycle
                    })
                  ])
                })
              })
            })
          })
        )
      const sleep = Schema.Struct({
        preStop: Schema.Struct({ sleep: Schema.Struct({ seconds: Schema.Literal(3) }) })
      })
      yield* rolling(3 + 7 + 11 + 5, { lifecycle: sleep })(deployment)
      yield* rolling(11 + 5, {})(watcher)
      assert.notInclude(JSON.stringify(watcher), '"preStop"')
    })
  )

  it.live("has an autoscaler with a CPU target of 40 %", () =>
    Effect.gen(function* () {
      const [hpa] = named(yield* render(...minimal), "HorizontalPodAutoscaler")
      assert.strictEqual(hpa?.apiVersion, "autoscaling/v2")
      assert.include(JSON.stringify(hpa), '"target":{"type":"Utilization","averageUtilization":40}')
      const [deployment] = named(yield* render(...minimal), "Deployment")
      assert.notInclude(JSON.stringify(deployment), '"replicas"')
    })
  )

  for (const [what, words, message] of [
    ["no image", ["--set", "image.repository="], /image\.repository is needed/],
    ["no certificate", ["--set", "tls.existingSecret="], /the server needs a certificate/],
    ["two certificates", ["--set", "tls.certManager.enabled=true,tls.certManager.issuerRef.name=x"], /not both/],
    ["no issuer", ["--set", "tls.certManager.enabled=true,tls.existingSecret="], /issuerRef\.name is needed/],
    ["no client CA", ["--set", "tls.clientCa.existingSecret="], /name tls\.clientCa\.existingSecret or/],
    ["two client CAs", ["--set", "tls.clientCa.existingConfigMap=x"], /not both/],
    ["an unknown value", ["--set", "replicas=3"], /additional properties 'replicas' not allowed/],
    ["a setting that the chart itself sets", ["--set", "settings.PORT=1"], /invalid propertyName 'PORT'/],
    ["an unknown authorization mode", ["--set", "authorization.mode=none"], /authorization/],
    ["a cipher suite that TLS 1.3 does not have", ["--set", "tls.ciphers=RC4"], /ciphers/],
    ["watchers without a shared cache", ["--set", "watcher.enabled=true"], /watcher\.enabled needs cache\.mode redis/],
    ["a shared cache without a Redis", ["--set", "cache.mode=redis"], /name cache\.redis\.existingSecret, or give/],
    [
      "a Redis without a shared cache",
      ["--set", "cache.redis.existingSecret=redis"],
      /would not be used: set cache\.mode to redis/
    ],
    [
      "two Redis URLs",
      ["--set", "cache.mode=redis,cache.redis.existingSecret=redis,cache.redis.url=redis://redis"],
      /not both/
    ],
    [
      "a URL that is not of a Redis",
      ["--set", "cache.mode=redis,cache.redis.url=http://redis"],
      /cache\.redis\.url must be a URL such as redis:\/\/host/
    ],
    [
      "two sources of the Redis CA",
      [
        "--set",
        "cache.mode=redis,cache.redis.existingSecret=redis",
        "--set",
        "cache.redis.ca.existingSecret=a,cache.redis.ca.existingConfigMap=b"
      ],
      /cache\.redis\.ca\.existingSecret or .+not both/
    ],
    [
      "a Redis port that the NetworkPolicy does not allow",
      ["--set", "cache.mode=redis,cache.redis.url=rediss://redis:6380/1"],
      /port 6380, which networkPolicy\.redisPorts does not let pods connect to/
    ],
    [
      "a Redis CA without TLS",
      ["--set", "cache.mode=redis,cache.redis.url=redis://redis,cache.redis.ca.existingSecret=ca"],
      /no certificate for cache\.redis\.ca to check/
    ],
    [
      "Sentinels and a Redis URL",
      ["--set", `cache.mode=redis,cache.redis.url=redis://redis,${sentinels}`],
      /cache\.redis\.sentinels, or the URL .+not both/
    ],
    [
      "Sentinels without the name of the primary",
      ["--set", "cache.mode=redis,cache.redis.sentinels.addresses={a:26379}"],
      /addresses needs cache\.redis\.sentinels\.name/
    ],
    [
      "passwords of Sentinels without their addresses",
      ["--set", "cache.mode=redis,cache.redis.url=redis://redis,cache.redis.sentinels.existingSecret=redis"],
      /would not be used without cache\.redis\.sentinels\.addresses/
    ],
    [
      "user names of Sentinels without a Secret",
      ["--set", `cache.mode=redis,${sentinels},cache.redis.sentinels.usernameKey=user`],
      /name it in cache\.redis\.sentinels\.existingSecret/
    ],
    ["Sentinels without a shared cache", ["--set", sentinels], /would not be used: set cache\.mode to redis/],
    [
      "a Sentinel without a port",
      ["--set", "cache.mode=redis,cache.redis.sentinels.name=main,cache.redis.sentinels.addresses={a}"],
      /addresses/
    ],
    [
      "a CA of Sentinels without TLS",
      ["--set", `cache.mode=redis,${sentinels},cache.redis.ca.existingSecret=ca`],
      /without cache\.redis\.sentinels\.tls there is no certificate/
    ],
    ["a key prefix with invalid characters", ["--set-string", "cache.redis.keyPrefix=a\\{b\\}"], /keyPrefix/],
    ["a lease that is not a duration", ["--set", "cache.redis.lease=soon"], /lease/],
    ["an unknown cache mode", ["--set", "cache.mode=disk"], /cache/],
    [
      "a ServiceMonitor without a metrics port",
      ["--set", "metrics.port=0,metrics.serviceMonitor.enabled=true"],
      /metrics\.port/
    ],
    [
      "a ServiceMonitor that the NetworkPolicy does not allow",
      ["--set", "metrics.serviceMonitor.enabled=true"],
      /networkPolicy\.metricsFrom/
    ],
    ["a probe without a certificate", ["--set", "probe.cronJob.enabled=true"], /name probe\.existingSecret/]
  ] as const) {
    it.live(`rejects ${what} with a message`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(helm("template", "release", chart, ...minimal, ...words))
        assert.match(error.message, message)
      })
    )
  }

  it.live("has the version of the package, and curl lines in its NOTES", () =>
    Effect.gen(function* () {
      const { version }: { readonly version: string } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"))
      const about: { readonly version: string; readonly appVersion: string } = parse(
        readFileSync(`${chart}/Chart.yaml`, "utf8")
      )
      assert.deepStrictEqual([about.version, about.appVersion], [version, version])
      const notes = yield* helm("install", "release", chart, "--dry-run=client", "--namespace", "served", ...minimal)
      assert.match(notes, /kra -X PUT https:\/\/release-kube-resource-api\.served\.svc:8443\/namespaces\/NAMESPACE/)
      assert.include(notes, "EVERY REQUEST IS DENIED")
    })
  )

  for (const [state, words, warning] of [
    ["lets in every pod", [], "EVERY POD OF THE CLUSTER MAY CONNECT"],
    ["is disabled", ["--set", "networkPolicy.enabled=false"], "NO NETWORK POLICY LIMITS CONNECTIONS"]
  ] as const) {
    it.live(`warns in its NOTES if the NetworkPolicy ${state}`, () =>
      Effect.gen(function* () {
        const notesOf = (...more: ReadonlyArray<string>) =>
          helm("install", "release", chart, "--dry-run=client", "--namespace", "served", ...minimal, ...more)
        assert.include(yield* notesOf(...words), warning)
        const restricted = "networkPolicy.from[0].namespaceSelector.matchLabels.team=callers"
        assert.notMatch(yield* notesOf("--set", restricted), /EVERY POD|NO NETWORK POLICY/)
      })
    )
  }

  it.live("with a FlowSchema, gives the accounts that read the cluster a priority level of their own", () =>
    Effect.gen(function* () {
      const watcher = "watcher.enabled=true,cache.mode=redis,cache.redis.existingSecret=redis"
      const accountsOf = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
        const manifests = yield* render(...minimal, "--set", "flowSchema.enabled=true", ...words)
        const accounts = named(manifests, "ServiceAccount").map(({ metadata }) => metadata.name)
        const schemas = yield* Effect.forEach(named(manifests, "FlowSchema"), (one) => decodeFlowSchema(one))
        const subjects = schemas.flatMap(({ spec }) => spec.rules.flatMap((rule) => rule.subjects))
        assert.deepStrictEqual(
          new Set(subjects.map(({ serviceAccount }) => serviceAccount.namespace)),
          new Set(["served"])
        )
        assert.sameMembers(
          subjects.map(({ serviceAccount }) => serviceAccount.name),
          accounts
        )
        return accounts.length
      })
      assert.strictEqual(yield* accountsOf(), 1)
      assert.strictEqual(yield* accountsOf("--set", watcher), 2)
      assert.isEmpty(named(yield* render(...minimal), "FlowSchema"))
    })
  )

  it.live("rejects a password in the values without repeating it", () =>
    Effect.gen(function* () {
      for (const scheme of ["redis", "rediss", "http"]) {
        const words = ["--set", `cache.mode=redis,cache.redis.url=${scheme}://user:hush@redis`]
        const { message } = yield* Effect.flip(helm("template", "release", chart, ...minimal, ...words))
        assert.match(message, /cache\.redis\.url may hold no user and no password.+cache\.redis\.existingSecret/)
        assert.notInclude(message, "hush")
      }
    })
  )

  for (const [type, words] of [
    ["ClusterIP", []],
    ["NodePort", ["--set", "service.type=NodePort"]],
    ["LoadBalancer", ["--set", "service.type=LoadBalancer,service.annotations.load=balancer"]]
  ] as const) {
    it.live(`with a ${type}, publishes HTTPS but not the metrics port`, () =>
      Effect.gen(function* () {
        const manifests = yield* render(...minimal, ...scraped, ...words)
        const services = yield* Effect.forEach(named(manifests, "Service"), (one) => decodeService(one))
        const [main, metrics] = ["release-kube-resource-api", "release-kube-resource-api-metrics"].map((name) =>
          services.find(({ metadata }) => metadata.name === name)
        )
        assert(main !== undefined && metrics !== undefined)
        assert.strictEqual(services.length, 2)
        const ports = ({ spec }: typeof main) => spec.ports.map(({ name, targetPort }) => [name, targetPort])
        assert.deepStrictEqual([main.spec.type, ports(main)], [type, [["https", "https"]]])
        assert.deepStrictEqual([metrics.spec.type, ports(metrics)], ["ClusterIP", [["metrics", "metrics"]]])
        assert.notProperty(metrics.metadata, "annotations")
        assert.deepStrictEqual(metrics.spec.selector, main.spec.selector)

        const [monitor] = named(manifests, "ServiceMonitor")
        const { spec } = yield* decodeMonitor(monitor)
        const selected = services.filter(({ metadata }) =>
          Object.entries(spec.selector.matchLabels).every(([label, value]) => metadata.labels[label] === value)
        )
        assert.deepStrictEqual(selected, [metrics])
        assert.deepStrictEqual(
          spec.endpoints.map(({ port }) => port),
          ["metrics"]
        )
      })
    )
  }

  it.live("has no metrics Service without a metrics port", () =>
    Effect.gen(function* () {
      const services = named(yield* render(...minimal, "--set", "metrics.port=0"), "Service")
      assert.deepStrictEqual(
        services.map(({ metadata }) => metadata.name),
        ["release-kube-resource-api"]
      )
    })
  )

  it.live("allows only the peers of networkPolicy.metricsFrom to connect to the metrics port", () =>
    Effect.gen(function* () {
      const ingress = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
        const [policy] = named(yield* render(...minimal, ...words), "NetworkPolicy")
        return (yield* decodeNetworkPolicy(policy)).spec.ingress
      })
      const everyPod = { ports: [{ port: "https", protocol: "TCP" }], from: [{ namespaceSelector: {} }] }
      assert.deepStrictEqual(yield* ingress(), [everyPod])
      assert.deepStrictEqual(yield* ingress(...scraped), [
        everyPod,
        {
          ports: [{ port: "metrics", protocol: "TCP" }],
          from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } }]
        }
      ])
      assert.deepStrictEqual(
        yield* ingress(...scraped, "--set", "metrics.port=0,metrics.serviceMonitor.enabled=false"),
        [everyPod]
      )
    })
  )

  it.live("scrapes with the job label that rules and dashboard select, whatever the release name", () =>
    Effect.gen(function* () {
      for (const words of [[], ["--set", "nameOverride=other"], ["--set", "fullnameOverride=other"]]) {
        const [monitor] = named(yield* render(...minimal, ...scraped, ...words), "ServiceMonitor")
        for (const { relabelings } of (yield* decodeMonitor(monitor)).spec.endpoints) {
          assert.deepStrictEqual(relabelings, [
            { action: "replace", targetLabel: "job", replacement: "kube-resource-api" }
          ])
        }
      }
    })
  )

  it.live("contains the alert rules and dashboards of deploy/prometheus and deploy/grafana unchanged", () =>
    Effect.gen(function* () {
      const manifests = yield* renderAs("kube-resource-api", ...minimal, ...monitored)
      assert.deepStrictEqual(rulesOf(manifests), [{ groups: ruleGroups() }])
      assert.isNotEmpty(ruleGroups())
      assert.deepStrictEqual(dashboardsOf(manifests), [dashboards()])
      assert.isNotEmpty(Object.keys(dashboards()))
    })
  )

  it.live("limits the length of names, however long the release name", () =>
    Effect.gen(function* () {
      const words = ["--set", `fullnameOverride=${"a".repeat(63)}`]
      const cronJob = ["--set", "probe.existingSecret=client,probe.cronJob.enabled=true"]
      const watcher = ["--set", "watcher.enabled=true,cache.mode=redis,cache.redis.existingSecret=redis"]
      const manifests = yield* renderAs("foo", ...minimal, ...words, ...cronJob, ...watcher)
      const names = named(manifests, "CronJob").map(({ metadata }) => metadata.name)
      assert.isNotEmpty(names)
      // The names of its jobs have eleven more characters.
      for (const name of names) assert.isAtMost(name.length, 52)
      for (const { metadata } of manifests) assert.isAtMost(metadata.name.length, 63)
    })
  )

  for (const [release, fullname, words] of [
    ["foo", "foo-kube-resource-api", []],
    ["kube-resource-api-two", "kube-resource-api-two", []],
    ["foo", "resources", ["--set", "fullnameOverride=resources"]]
  ] as const) {
    it.live(
      `as ${release} ${words.join(" ")}: rules and dashboard select the pods and the CronJob of ${fullname}`,
      () =>
        Effect.gen(function* () {
          const manifests = yield* renderAs(
            release,
            ...minimal,
            ...monitored,
            ...words,
            "--set",
            "probe.existingSecret=client,probe.cronJob.enabled=true,watcher.enabled=true",
            "--set",
            "cache.mode=redis,cache.redis.existingSecret=redis"
          )
          const nameOf = (kind: string) => named(manifests, kind).map(({ metadata }) => metadata.name)
          assert.deepStrictEqual(nameOf("Deployment"), [fullname, `${fullname}-watcher`])
          assert.deepStrictEqual(nameOf("CronJob"), [`${fullname}-probe`])

          const own = JSON.stringify(rulesOf(manifests))
          const shown = JSON.stringify(dashboardsOf(manifests))
          assert.deepStrictEqual(objectSelectors(own), [
            `cronjob="${fullname}-probe"`,
            `pod!~"${fullname}-(?:probe|watcher)-.+"`,
            `pod!~"${fullname}-probe-.+"`,
            `pod=~"${fullname}-.+"`,
            `pod=~"${fullname}-watcher-.+"`
          ])
          assert.deepStrictEqual(objectSelectors(shown), [
            `pod!~"${fullname}-(?:probe|watcher)-.+"`,
            `pod=~"${fullname}-.+"`,
            `pod=~"${fullname}-watcher-.+"`
          ])

          // Only the names of these objects differ.
          const generic = (text: string) =>
            text.replaceAll(objectSelector, (whole: string) => whole.replace(fullname, "kube-resource-api"))
          assert.deepStrictEqual(JSON.parse(generic(own)), [{ groups: ruleGroups() }])
          assert.deepStrictEqual(JSON.parse(generic(shown)), [dashboards()])
        })
    )
  }
})
