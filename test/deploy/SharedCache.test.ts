/** The chart with a Redis that its pods share and with separate watcher pods. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { file } from "../support/Pki.ts"
import { demoSettings, start } from "../support/Process.ts"
import * as RedisSentinels from "../support/RedisSentinels.ts"
import * as RedisServer from "../support/RedisServer.ts"
import { chart, helm, type Manifest, named, render, renderAs } from "./Manifest.ts"

const values = (name: string) => ["--values", `${chart}/ci/${name}-values.yaml`]
const fullname = "release-kube-resource-api"
const watcherName = `${fullname}-watcher`
const split = ["--set", "watcher.enabled=true,cache.mode=redis,cache.redis.existingSecret=redis"]
const scraped = [
  "--set",
  "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=monitoring"
]
const prometheus = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } }

const Labels = Schema.Record(Schema.String, Schema.String)
const Source = Schema.Struct({
  name: Schema.optionalKey(Schema.String),
  secretName: Schema.optionalKey(Schema.String),
  items: Schema.optionalKey(Schema.Array(Schema.Struct({ key: Schema.String, path: Schema.String })))
})
const Deployment = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({
    replicas: Schema.optionalKey(Schema.Number),
    selector: Schema.Struct({ matchLabels: Labels }),
    template: Schema.Struct({
      metadata: Schema.Struct({ labels: Labels }),
      spec: Schema.Struct({
        serviceAccountName: Schema.String,
        containers: Schema.NonEmptyArray(
          Schema.Struct({
            env: Schema.Array(
              Schema.Struct({
                name: Schema.String,
                value: Schema.optionalKey(Schema.String),
                valueFrom: Schema.optionalKey(Schema.Unknown)
              })
            ),
            ports: Schema.Array(Schema.Struct({ name: Schema.String, containerPort: Schema.Number })),
            volumeMounts: Schema.Array(Schema.Struct({ name: Schema.String, mountPath: Schema.String }))
          })
        ),
        volumes: Schema.Array(
          Schema.Struct({
            name: Schema.String,
            secret: Schema.optionalKey(Source),
            configMap: Schema.optionalKey(Source)
          })
        ),
        topologySpreadConstraints: Schema.Array(
          Schema.Struct({ topologyKey: Schema.String, labelSelector: Schema.Struct({ matchLabels: Labels }) })
        )
      })
    })
  })
})
type Deployment = typeof Deployment.Type

const Service = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, labels: Labels }),
  spec: Schema.Struct({ selector: Labels, ports: Schema.Array(Schema.Struct({ targetPort: Schema.String })) })
})
const Budget = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({ selector: Schema.Struct({ matchLabels: Labels }), maxUnavailable: Schema.Unknown })
})
const Policy = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String }),
  spec: Schema.Struct({
    podSelector: Schema.Struct({ matchLabels: Labels }),
    policyTypes: Schema.Array(Schema.String),
    ingress: Schema.Array(Schema.Unknown),
    egress: Schema.Array(
      Schema.Struct({
        ports: Schema.Array(Schema.Struct({ port: Schema.Number, protocol: Schema.String })),
        to: Schema.optionalKey(Schema.Unknown)
      })
    )
  })
})
const Monitor = Schema.Struct({ spec: Schema.Struct({ selector: Schema.Struct({ matchLabels: Labels }) }) })
const Autoscaler = Schema.Struct({ spec: Schema.Struct({ scaleTargetRef: Schema.Unknown }) })

const ofKind = <A>(schema: Schema.Codec<A, unknown>, kind: string, manifests: ReadonlyArray<Manifest>) =>
  Effect.forEach(named(manifests, kind), (one) => Schema.decodeUnknownEffect(schema)(one))

const deploymentsOf = (manifests: ReadonlyArray<Manifest>) => ofKind(Deployment, "Deployment", manifests)

const selects = (selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>) =>
  Object.entries(selector).every(([label, value]) => labels[label] === value)

/** The names of the Deployments whose pods match the selector. */
const selected = (selector: Readonly<Record<string, string>>, deployments: ReadonlyArray<Deployment>) =>
  deployments
    .filter(({ spec }) => selects(selector, spec.template.metadata.labels))
    .map(({ metadata }) => metadata.name)

const envOf = ({ spec }: Deployment) => {
  const found: Record<string, unknown> = {}
  for (const { name, value, valueFrom } of spec.template.spec.containers[0].env) found[name] = value ?? valueFrom
  return found
}
const redisOf = (deployment: Deployment) =>
  Object.fromEntries(
    Object.entries(envOf(deployment)).filter(([name]) => /^(?:REDIS_|CACHE$|ROLE$|WATCHER_)/.test(name))
  )

/** The source of the file that a variable names: the key of a Secret or ConfigMap. */
const fileOf = (deployment: Deployment, variable: string) => {
  const { containers, volumes } = deployment.spec.template.spec
  const path = String(envOf(deployment)[variable])
  const mount = containers[0].volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`))
  const volume = volumes.find(({ name }) => name === mount?.name)
  const item = (volume?.secret ?? volume?.configMap)?.items?.find(
    (one) => `${String(mount?.mountPath)}/${one.path}` === path
  )
  return { secret: volume?.secret?.secretName, configMap: volume?.configMap?.name, key: item?.key }
}

describe("the chart's cache", () => {
  it.live("is in the memory of each pod by default", () =>
    Effect.gen(function* () {
      const deployments = yield* deploymentsOf(yield* render(...values("minimal")))
      assert.deepStrictEqual(deployments.map(redisOf), [{ CACHE: "memory", ROLE: "all" }])
    })
  )

  it.live("in a Redis without a password: every pod serves and may become the leader", () =>
    Effect.gen(function* () {
      const deployments = yield* deploymentsOf(yield* render(...values("redis")))
      assert.deepStrictEqual(deployments.map(redisOf), [
        {
          CACHE: "redis",
          ROLE: "all",
          REDIS_URL: "redis://redis.caches.svc/2",
          REDIS_KEY_PREFIX: `served:${fullname}`,
          WATCHER_LEASE: "15s"
        }
      ])
    })
  )

  it.live("in a Redis with a password: servers and watchers get the URL from a Secret", () =>
    Effect.gen(function* () {
      const deployments = yield* deploymentsOf(yield* render(...values("split")))
      const shared = {
        CACHE: "redis",
        REDIS_URL: { secretKeyRef: { name: "redis", key: "REDIS_URL" } },
        REDIS_CA_FILE: "/etc/kube-resource-api/redis-ca/ca.crt",
        REDIS_KEY_PREFIX: "blue",
        WATCHER_LEASE: "10s"
      }
      assert.deepStrictEqual(deployments.map(redisOf), [
        { ...shared, ROLE: "server" },
        { ...shared, ROLE: "watcher" }
      ])
      for (const one of deployments) {
        assert.deepStrictEqual(fileOf(one, "REDIS_CA_FILE"), {
          secret: undefined,
          configMap: "redis-ca",
          key: "ca.pem"
        })
      }
      const [ofSecret] = yield* deploymentsOf(yield* render(...values("split-kubernetes-authorization")))
      assert(ofSecret !== undefined)
      assert.deepStrictEqual(fileOf(ofSecret, "REDIS_CA_FILE"), {
        secret: "redis-ca",
        configMap: undefined,
        key: "ca.crt"
      })
    })
  )

  it.live("in a Redis with Sentinels: servers and watchers get users and passwords from a Secret", () =>
    Effect.gen(function* () {
      const deployments = yield* deploymentsOf(yield* render(...values("sentinels")))
      const ofSecret = (key: string) => ({ secretKeyRef: { name: "redis", key } })
      const shared = {
        CACHE: "redis",
        REDIS_SENTINELS: "redis-0.redis.caches.svc:26379,redis-1.redis.caches.svc:26379,[2001:db8::2]:26380",
        REDIS_SENTINEL_NAME: "main",
        REDIS_TLS: "true",
        REDIS_USERNAME: ofSecret("user"),
        REDIS_PASSWORD: ofSecret("password"),
        REDIS_SENTINEL_PASSWORD: ofSecret("sentinel-password"),
        REDIS_CA_FILE: "/etc/kube-resource-api/redis-ca/ca.crt",
        REDIS_KEY_PREFIX: `served:${fullname}`,
        WATCHER_LEASE: "15s"
      }
      assert.deepStrictEqual(deployments.map(redisOf), [
        { ...shared, ROLE: "server" },
        { ...shared, ROLE: "watcher" }
      ])
      const [open] = yield* deploymentsOf(
        yield* render(
          ...values("sentinels"),
          "--set",
          "cache.redis.sentinels.existingSecret=,cache.redis.sentinels.usernameKey=,cache.redis.sentinels.tls=false,cache.redis.ca.existingConfigMap="
        )
      )
      assert(open !== undefined)
      assert.deepStrictEqual(
        Object.keys(redisOf(open)).filter((name) => /USERNAME|PASSWORD|CA_FILE/.test(name)),
        []
      )
    })
  )

  it.live("in a Redis with Sentinels: a pod gets ready", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const group = yield* RedisSentinels.make({
        downAfterMillis: 10_000,
        secured: { password: "s3cret", sentinelPassword: "s3cret too" }
      })
      const addresses = JSON.stringify(group.addresses.map(({ host, port }) => `${host}:${port}`))
      const [, watcher] = yield* deploymentsOf(
        yield* render(
          ...values("sentinels"),
          "--set-json",
          `cache.redis.sentinels.addresses=${addresses}`,
          "--set-json",
          `cache.redis.sentinels.name="${RedisSentinels.primaryName}"`
        )
      )
      assert(watcher !== undefined)
      const given = redisOf(watcher)
      const instance = yield* start({
        ...demoSettings,
        ...Object.fromEntries(Object.entries(given).map(([name, value]) => [name, String(value)])),
        REDIS_USERNAME: "default",
        REDIS_PASSWORD: "s3cret",
        REDIS_SENTINEL_PASSWORD: "s3cret too",
        REDIS_CA_FILE: file("ca.crt"),
        KUBE_SOURCE: "kubeconfig",
        KUBECONFIG: kubeconfig(kube.url, { token: "test" })
      })
      yield* instance.printed('"Ready"')
      assert.notInclude(instance.output(), "s3cret")
    }).pipe(Effect.scoped, Effect.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] })))
  )

  it.live("has different keys for each release that shares a Redis", () =>
    Effect.gen(function* () {
      const prefixes = yield* Effect.forEach(["one", "two", "kube-resource-api"], (release) =>
        Effect.map(
          Effect.flatMap(renderAs(release, ...values("minimal"), ...split), (manifests) => deploymentsOf(manifests)),
          (deployments) => [...new Set(deployments.map((one) => envOf(one)["REDIS_KEY_PREFIX"]))]
        )
      )
      assert.deepStrictEqual(prefixes, [
        ["served:one-kube-resource-api"],
        ["served:two-kube-resource-api"],
        ["served:kube-resource-api"]
      ])
      // The same holds for names that are too long.
      const long = yield* Effect.forEach(["a", "b"], (end) =>
        Effect.flatMap(
          renderAs(
            "one",
            ...values("minimal"),
            ...split,
            "--set",
            `fullnameOverride=${"a".repeat(45)}${end}`,
            "--namespace",
            "n".repeat(63)
          ),
          (manifests) => Effect.map(deploymentsOf(manifests), ([one]) => one && envOf(one)["REDIS_KEY_PREFIX"])
        )
      )
      for (const prefix of long) assert.match(String(prefix), /^n{47}-[0-9a-f]{16}$/)
      assert.strictEqual(new Set(long).size, 2)
    })
  )
})

describe("the chart's Redis key prefix", () => {
  const prefixes = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
    const deployments = yield* deploymentsOf(yield* render(...values("split-namespaces"), ...words))
    return [...new Set(deployments.map((one) => String(envOf(one)["REDIS_KEY_PREFIX"])))]
  })

  it.live("depends on the set of namespaces, so that new pods get ready beside old ones", () =>
    Effect.gen(function* () {
      const [before, ...more] = yield* prefixes()
      assert.match(String(before), /^served:release-kube-resource-api:[0-9a-f]{8}$/)
      assert.isEmpty(more)
      assert.deepStrictEqual(yield* prefixes("--set", "namespaces={kube-system,personal}"), [before])
      const [after] = yield* prefixes("--set", "namespaces={kube-system,personal,more}")
      assert.match(String(after), /^served:release-kube-resource-api:[0-9a-f]{8}$/)
      assert.notStrictEqual(after, before)
    })
  )

  it.live("lets a pod for other namespaces get ready beside the existing pods", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const redis = Redacted.value((yield* RedisServer.started()).url)
      for (const words of [
        ["--set", "namespaces={personal}"],
        ["--set", "namespaces={personal,kube-system}"]
      ]) {
        const [, watcher] = yield* deploymentsOf(yield* render(...values("split-namespaces"), ...words))
        assert(watcher !== undefined)
        const { CACHE, KUBE_NAMESPACES, REDIS_KEY_PREFIX, ROLE } = envOf(watcher)
        const instance = yield* start({
          ...demoSettings,
          CACHE: String(CACHE),
          ROLE: String(ROLE),
          KUBE_NAMESPACES: String(KUBE_NAMESPACES),
          REDIS_KEY_PREFIX: String(REDIS_KEY_PREFIX),
          REDIS_URL: redis,
          KUBE_SOURCE: "kubeconfig",
          KUBECONFIG: kubeconfig(kube.url, { token: "test" })
        })
        yield* instance.printed('"Ready"')
      }
    }).pipe(Effect.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] })))
  )

  it.live("has a bounded length", () =>
    Effect.gen(function* () {
      const [given] = yield* prefixes("--set", "cache.redis.keyPrefix=blue")
      assert.match(String(given), /^blue:[0-9a-f]{8}$/)
      const [long] = yield* prefixes("--set", `cache.redis.keyPrefix=${"b".repeat(64)}`)
      assert.match(String(long), /^b{47}-[0-9a-f]{16}$/)
    })
  )
})

describe("the chart's watchers", () => {
  const everything = [...values("everything"), "--set", "fullnameOverride=", ...split]

  it.live("do not change the selector of the server Deployment, which is immutable", () =>
    Effect.gen(function* () {
      const labels = {
        "app.kubernetes.io/name": "kube-resource-api",
        "app.kubernetes.io/instance": "release",
        "app.kubernetes.io/component": "server"
      }
      for (const words of [values("minimal"), values("redis"), values("split")]) {
        const manifests = yield* render(...words)
        const server = (yield* deploymentsOf(manifests)).find(({ metadata }) => metadata.name === fullname)
        assert.deepStrictEqual(server?.spec.selector.matchLabels, labels)
        const services = yield* ofKind(Service, "Service", manifests)
        const service = services.find(({ metadata }) => metadata.name === fullname)
        assert.deepStrictEqual(service?.spec.selector, labels)
      }
    })
  )

  it.live(
    "have their own Deployment, metrics Service and disruption budget, and no part in the Service for clients",
    () =>
      Effect.gen(function* () {
        const manifests = yield* render(...everything)
        const deployments = yield* deploymentsOf(manifests)
        assert.deepStrictEqual(
          deployments.map(({ metadata, spec }) => [metadata.name, spec.replicas]),
          [
            [fullname, undefined],
            [watcherName, 2]
          ]
        )
        for (const { metadata, spec } of deployments) {
          assert.deepStrictEqual(selected(spec.selector.matchLabels, deployments), [metadata.name])
          const { topologySpreadConstraints } = spec.template.spec
          assert.include(
            topologySpreadConstraints.map(({ topologyKey }) => topologyKey),
            "kubernetes.io/hostname"
          )
          for (const { labelSelector } of topologySpreadConstraints) {
            assert.deepStrictEqual(selected(labelSelector.matchLabels, deployments), [metadata.name])
          }
        }

        const services = yield* ofKind(Service, "Service", manifests)
        assert.deepStrictEqual(
          services.map(({ metadata, spec }) => [
            metadata.name,
            selected(spec.selector, deployments),
            spec.ports.map(({ targetPort }) => targetPort)
          ]),
          [
            [fullname, [fullname], ["https"]],
            [`${fullname}-metrics`, [fullname], ["metrics"]],
            [`${watcherName}-metrics`, [watcherName], ["metrics"]]
          ]
        )
        assert.deepStrictEqual(
          (yield* ofKind(Autoscaler, "HorizontalPodAutoscaler", manifests)).map(({ spec }) => spec.scaleTargetRef),
          [{ apiVersion: "apps/v1", kind: "Deployment", name: fullname }]
        )
        assert.deepStrictEqual(
          (yield* ofKind(Budget, "PodDisruptionBudget", manifests)).map(({ metadata, spec }) => [
            metadata.name,
            selected(spec.selector.matchLabels, deployments),
            spec.maxUnavailable
          ]),
          [
            [fullname, [fullname], 1],
            [watcherName, [watcherName], 1]
          ]
        )
        const probes = manifests.filter(({ kind }) => kind === "CronJob" || kind === "Pod")
        assert.strictEqual(probes.length, 2)
        for (const one of probes) assert.include(JSON.stringify(one), `"https://${fullname}.served.svc:8443"`)
      })
  )

  it.live("are scraped by the same ServiceMonitor as the servers", () =>
    Effect.gen(function* () {
      const manifests = yield* render(...everything)
      const [monitor] = yield* ofKind(Monitor, "ServiceMonitor", manifests)
      assert(monitor !== undefined)
      const deployments = yield* deploymentsOf(manifests)
      const services = yield* ofKind(Service, "Service", manifests)
      assert.deepStrictEqual(
        services
          .filter(({ metadata }) => selects(monitor.spec.selector.matchLabels, metadata.labels))
          .flatMap(({ spec }) => selected(spec.selector, deployments)),
        [fullname, watcherName]
      )
      for (const one of deployments) {
        const [{ ports }] = one.spec.template.spec.containers
        assert.deepInclude(ports, { name: "metrics", containerPort: Number(envOf(one)["METRICS_PORT"]) })
      }
    })
  )

  it.live("have a service account of their own, new or existing", () =>
    Effect.gen(function* () {
      const accounts = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
        const manifests = yield* render(...words)
        return {
          used: (yield* deploymentsOf(manifests)).map(({ spec }) => spec.template.spec.serviceAccountName),
          made: named(manifests, "ServiceAccount").map(({ metadata }) => metadata.name)
        }
      })
      const both = [fullname, watcherName]
      assert.deepStrictEqual(yield* accounts(...values("split")), { used: both, made: both })
      assert.deepStrictEqual(
        yield* accounts(
          ...values("split"),
          "--set",
          "watcher.serviceAccount.create=false,watcher.serviceAccount.name=given"
        ),
        { used: [fullname, "given"], made: [fullname] }
      )
      const error = yield* Effect.flip(
        helm("template", "release", chart, ...values("split"), "--set", "watcher.serviceAccount.create=false")
      )
      assert.match(error.message, /watcher\.serviceAccount\.name is needed/)
    })
  )

  it.live("are named in the NOTES", () =>
    Effect.gen(function* () {
      const notes = (name: string) =>
        helm("install", "release", chart, "--dry-run=client", "--namespace", "served", ...values(name))
      assert.include(yield* notes("split"), `One pod of ${watcherName} watches the cluster`)
      assert.include(yield* notes("split"), `rollout status deployment/${watcherName}`)
      assert.include(yield* notes("redis"), "One pod watches the cluster")
      assert.notInclude(yield* notes("redis"), watcherName)
      assert.include(yield* notes("minimal"), "Every pod watches the cluster")
    })
  )
})

describe("the chart's NetworkPolicies", () => {
  const egress = { dns: [53, 53], kube: [443, 6443], redis: [6379] }
  const policiesOf = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
    const manifests = yield* render(...words)
    const deployments = yield* deploymentsOf(manifests)
    return (yield* ofKind(Policy, "NetworkPolicy", manifests)).map(({ metadata, spec }) => ({
      name: metadata.name,
      pods: selected(spec.podSelector.matchLabels, deployments),
      types: spec.policyTypes,
      ingress: spec.ingress,
      egress: spec.egress
    }))
  })
  const ports = (rules: ReadonlyArray<{ readonly ports: ReadonlyArray<{ readonly port: number }> }>) =>
    rules.map((rule) => rule.ports.map(({ port }) => port))

  it.live("allow connections to a Redis only if the cache uses one", () =>
    Effect.gen(function* () {
      const [memory] = yield* policiesOf(...values("minimal"))
      const [redis] = yield* policiesOf(...values("redis"))
      assert(memory !== undefined && redis !== undefined)
      assert.deepStrictEqual(ports(memory.egress), [egress.dns, egress.kube])
      assert.deepStrictEqual(ports(redis.egress), [egress.dns, egress.kube, egress.redis])
      for (const { egress: rules } of yield* policiesOf(...values("sentinels"))) {
        assert.deepStrictEqual(ports(rules), [egress.dns, egress.kube, [...egress.redis, 26379, 26380]])
      }
    })
  )

  it.live("allow servers and watchers to connect only to DNS, the API server and the configured Redis peers", () =>
    Effect.gen(function* () {
      const policies = yield* policiesOf(...values("split"))
      assert.deepStrictEqual(
        policies.map(({ name, pods, types }) => ({ name, pods, types })),
        [fullname, watcherName].map((name) => ({ name, pods: [name], types: ["Ingress", "Egress"] }))
      )
      for (const policy of policies) {
        assert.deepStrictEqual(ports(policy.egress), [egress.dns, egress.kube, [6380]])
        assert.deepStrictEqual(policy.egress[2]?.to, [{ ipBlock: { cidr: "10.20.0.0/16" } }])
      }
    })
  )

  it.live("allow no client to connect to a watcher, and scrapers only to the metrics port", () =>
    Effect.gen(function* () {
      const ingress = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
        return (yield* policiesOf(...values("split"), ...words)).find(({ name }) => name === watcherName)?.ingress
      })
      const client = ["--set", "networkPolicy.from[0].podSelector.matchLabels.a=b"]
      assert.deepStrictEqual(yield* ingress(), [])
      assert.deepStrictEqual(yield* ingress(...client), [])
      assert.deepStrictEqual(yield* ingress(...client, ...scraped), [
        { ports: [{ port: "metrics", protocol: "TCP" }], from: [prometheus] }
      ])
      // Without a metrics port, scrapers use mutual TLS.
      assert.deepStrictEqual(yield* ingress(...scraped, "--set", "metrics.port=0"), [
        { ports: [{ port: "https", protocol: "TCP" }], from: [prometheus] }
      ])
    })
  )
})
