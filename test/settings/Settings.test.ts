import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Redacted } from "effect"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import * as Config from "../../src/settings/Settings.ts"
import * as ProbeConfig from "../../src/probe/ProbeConfig.ts"

const load = (environment: Record<string, string>) =>
  Config.load.pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: environment })))

describe("settings", () => {
  it.effect("have their defaults where variables are unset or empty", () =>
    Effect.gen(function* () {
      for (const environment of [{}, { PORT: "", TLS_CRL_FILE: "" }]) {
        const settings = yield* load(environment)
        assert.strictEqual(settings.port, 8443)
        assert.strictEqual(settings.maxTargetBytes, 2048)
        assert.strictEqual(settings.tlsClientAuth, "optional")
        assert.strictEqual(settings.kubeSource, "auto")
        assert.strictEqual(settings.kubeContentType, "protobuf")
        assert.deepStrictEqual(settings.kubeRelistInterval, Duration.hours(6))
        assert.isUndefined(settings.tlsCrlFile)
        assert.isUndefined(settings.readyMaxStaleness)
      }
    })
  )
  it.effect("read durations as a number and a unit", () =>
    Effect.gen(function* () {
      for (const [text, millis] of [
        ["0s", 0],
        ["250ms", 250],
        ["5m", 300_000],
        ["2h", 7_200_000],
        ["1d", 86_400_000]
      ] as const) {
        const { drainPeriod } = yield* load({ DRAIN_PERIOD: text })
        assert.strictEqual(Duration.toMillis(drainPeriod), millis)
      }
    })
  )
  it.effect("read namespaces separated by commas", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* load({ KUBE_NAMESPACES: "shop, shop-staging" })).kubeNamespaces?.map(String), [
        "shop",
        "shop-staging"
      ])
      assert.isUndefined((yield* load({})).kubeNamespaces)
    })
  )
  it.effect("reject an invalid value, naming the setting, the value and what is allowed", () =>
    Effect.gen(function* () {
      for (const [name, value] of [
        ["PORT", "65536"],
        ["PORT", "-1"],
        ["PORT", "8443 "],
        ["DRAIN_PERIOD", "5"],
        ["DRAIN_PERIOD", "-5s"],
        ["KUBE_SOURCE", "EMBEDDED"],
        ["KUBE_NAMESPACES", "shop,Upper"],
        ["KUBE_NAMESPACES", "shop,shop"],
        ["KUBE_NAMESPACES", "shop,"],
        ["TLS_CIPHERS", "TLS_AES_128_GCM_SHA256:AES128-SHA"],
        ["MAX_TARGET_BYTES", "0"],
        ["LOG_LEVEL", "loud"]
      ] as const) {
        const error = yield* load({ [name]: value }).pipe(Effect.flip)
        assert.strictEqual(error.setting, name)
        assert.strictEqual(error.value, value)
        assert.include(error.message, `${name}=${value}`)
        assert.match(error.fix, /^Set it to /)
      }
    })
  )
  it.effect("select the policy authorizer if a policy is given, else the cluster's RBAC", () =>
    Effect.gen(function* () {
      const authorization = (environment: Record<string, string>) =>
        Effect.map(load(environment), ({ authorization }) => authorization)
      assert.strictEqual(yield* authorization({}), "kubernetes")
      assert.strictEqual(yield* authorization({ AUTHORIZATION: "kubernetes" }), "kubernetes")
      assert.strictEqual(yield* authorization({ POLICY_FILE: "p.yaml" }), "policy")
      assert.strictEqual(yield* authorization({ POLICY_FILE: "p.yaml", AUTHORIZATION: "policy" }), "policy")
      const without = yield* Effect.flip(load({ AUTHORIZATION: "policy" }))
      assert.strictEqual(without.setting, "POLICY_FILE")
      const both = yield* Effect.flip(load({ AUTHORIZATION: "kubernetes", POLICY_FILE: "p.yaml" }))
      assert.strictEqual(both.setting, "AUTHORIZATION")
      assert.include(both.message, "POLICY_FILE=p.yaml")
    })
  )
  it.effect("take a seed only for the embedded cluster", () =>
    Effect.gen(function* () {
      const { embeddedSeed } = yield* load({ KUBE_SOURCE: "embedded", EMBEDDED_SEED: "seed.yaml" })
      assert.strictEqual(embeddedSeed, "seed.yaml")
      for (const environment of [{}, { KUBE_SOURCE: "kubeconfig" }]) {
        const error = yield* Effect.flip(load({ ...environment, EMBEDDED_SEED: "seed.yaml" }))
        assert.strictEqual(error.setting, "EMBEDDED_SEED")
        assert.include(error.message, "EMBEDDED_SEED=seed.yaml")
        assert.include(error.fix, "KUBE_SOURCE=embedded")
      }
    })
  )
  it.effect("select a cache in memory, or one shared through Redis", () =>
    Effect.gen(function* () {
      const alone = yield* load({})
      assert.deepStrictEqual([alone.cache, alone.role, alone.redisUrl], ["memory", "all", undefined])
      const shared = yield* load({ CACHE: "redis", REDIS_URL: "rediss://u:s3cret@redis:6380/2", ROLE: "server" })
      assert.strictEqual(shared.redisUrl && Redacted.value(shared.redisUrl), "rediss://u:s3cret@redis:6380/2")
      assert.notInclude(inspect(shared), "s3cret")
      assert.strictEqual(shared.redisKeyPrefix, "kube-resource-api")
      assert.strictEqual(Duration.toMillis(shared.watcherLease), 15_000)
    })
  )
  it.effect("name Sentinels by host and port, IPv6 addresses in brackets", () =>
    Effect.gen(function* () {
      const settings = yield* load({
        CACHE: "redis",
        REDIS_SENTINELS: "sentinel-0.redis:26379, 10.0.0.1:26380,[2001:db8::1]:26379",
        REDIS_SENTINEL_NAME: "main",
        REDIS_USERNAME: "reader",
        REDIS_PASSWORD: "s3cret",
        REDIS_SENTINEL_PASSWORD: "s3cret too",
        REDIS_TLS: "true",
        REDIS_CA_FILE: "ca.pem"
      })
      assert.deepStrictEqual(settings.redisSentinels, [
        { host: "sentinel-0.redis", port: 26379 },
        { host: "10.0.0.1", port: 26380 },
        { host: "2001:db8::1", port: 26379 }
      ])
      assert.strictEqual(settings.redisPassword && Redacted.value(settings.redisPassword), "s3cret")
      assert.notInclude(inspect(settings), "s3cret")
    })
  )
  it.effect("reject Sentinels and settings that do not fit together", () =>
    Effect.gen(function* () {
      const url = { CACHE: "redis", REDIS_URL: "redis://:s3cret@redis" }
      const sentinels = { CACHE: "redis", REDIS_SENTINELS: "a:26379,b:26379", REDIS_SENTINEL_NAME: "main" }
      for (const [environment, setting, ...words] of [
        [{ CACHE: "redis" }, "REDIS_URL", "REDIS_SENTINELS", "REDIS_SENTINEL_NAME"],
        [{ ...sentinels, CACHE: "memory" }, "CACHE", "REDIS_SENTINELS would be ignored", "unset REDIS_SENTINELS and"],
        [{ REDIS_PASSWORD: "s3cret" }, "CACHE", "REDIS_PASSWORD would be ignored"],
        [{ REDIS_TLS: "true" }, "CACHE", "REDIS_TLS would be ignored"],
        [{ ...sentinels, ...url }, "REDIS_SENTINELS", "REDIS_SENTINELS=a:26379,b:26379", "REDIS_URL"],
        [{ ...sentinels, REDIS_SENTINEL_NAME: "" }, "REDIS_SENTINEL_NAME", "sentinel monitor <name>"],
        [{ ...sentinels, REDIS_SENTINEL_NAME: "a b" }, "REDIS_SENTINEL_NAME", "letters"],
        [{ ...url, REDIS_SENTINEL_NAME: "main" }, "REDIS_SENTINEL_NAME", "REDIS_SENTINEL_NAME=main", "REDIS_SENTINELS"],
        [{ ...url, REDIS_PASSWORD: "s3cret" }, "REDIS_PASSWORD", "<not shown>", "REDIS_URL"],
        [{ ...url, REDIS_SENTINEL_PASSWORD: "s3cret" }, "REDIS_SENTINEL_PASSWORD", "<not shown>"],
        [{ ...url, REDIS_TLS: "true" }, "REDIS_TLS", "REDIS_TLS=true", "REDIS_URL"],
        [{ ...sentinels, REDIS_PASSWORD: "s3cret\n" }, "REDIS_PASSWORD", "<not shown>", "without a line break"],
        [{ ...sentinels, REDIS_USERNAME: "reader" }, "REDIS_PASSWORD", "REDIS_USERNAME"],
        [{ ...sentinels, REDIS_SENTINEL_USERNAME: "reader" }, "REDIS_SENTINEL_PASSWORD", "REDIS_SENTINEL_USERNAME"],
        [{ ...sentinels, REDIS_CA_FILE: "ca.pem" }, "REDIS_CA_FILE", "REDIS_TLS=true"],
        ...[
          "a",
          "a:",
          "a:0",
          "a:65536",
          ":26379",
          "a:1,a:1",
          "a:1,",
          "::1:26379",
          "[::1:26379",
          "[a]:26379",
          "a b:1"
        ].map((written) => [{ ...sentinels, REDIS_SENTINELS: written }, "REDIS_SENTINELS", "host:port"] as const)
      ] as const) {
        const error = yield* Effect.flip(load(environment))
        assert.strictEqual(error.setting, setting)
        for (const word of words) assert.include(error.message, word)
        assert.notInclude(error.message, "s3cret")
      }
    })
  )
  it.effect("reject settings that contradict the kind of cache", () =>
    Effect.gen(function* () {
      const redis = { CACHE: "redis", REDIS_URL: "redis://:s3cret@redis" }
      for (const [environment, setting, words] of [
        [{ CACHE: "redis" }, "REDIS_URL", "CACHE=redis"],
        [{ REDIS_URL: "redis://:s3cret@redis" }, "CACHE", "REDIS_URL"],
        [{ REDIS_CA_FILE: "ca.pem" }, "CACHE", "REDIS_CA_FILE"],
        [{ ROLE: "watcher" }, "ROLE", "CACHE=redis"],
        [{ ROLE: "server" }, "ROLE", "CACHE=redis"],
        [{ ...redis, REDIS_CA_FILE: "ca.pem" }, "REDIS_CA_FILE", "rediss://"],
        [{ ...redis, ROLE: "server", KUBE_SOURCE: "embedded" }, "ROLE", "KUBE_SOURCE"],
        [{ ...redis, ROLE: "watcher", KUBE_SOURCE: "embedded" }, "ROLE", "KUBE_SOURCE"],
        [{ ...redis, WATCHER_LEASE: "999ms" }, "WATCHER_LEASE", "1s"],
        [{ ...redis, REDIS_KEY_PREFIX: "{a}" }, "REDIS_KEY_PREFIX", "letters"],
        [{ CACHE: "redis", REDIS_URL: "http://:s3cret@redis" }, "REDIS_URL", "rediss://"],
        [{ CACHE: "redis", REDIS_URL: "redis://:s3cret@redis/one" }, "REDIS_URL", "rediss://"],
        [{ CACHE: "redis", REDIS_URL: "redis://:s3cret%zz@redis" }, "REDIS_URL", "rediss://"],
        [{ CACHE: "redis", REDIS_URL: "redis://:s3cret@redis?x=1" }, "REDIS_URL", "rediss://"]
      ] as const) {
        const error = yield* Effect.flip(load(environment))
        assert.strictEqual(error.setting, setting)
        assert.include(error.message, words)
        assert.notInclude(error.message, "s3cret")
      }
    })
  )
  it.effect("read where traces go, and never quote header fields, which may hold secrets", () =>
    Effect.gen(function* () {
      const settings = yield* load({
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318",
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20s3cret, x-tenant=a%",
        OTEL_TRACES_SAMPLER_ARG: "0.25"
      })
      assert.deepStrictEqual(settings.otlpHeaders, { authorization: "Bearer s3cret", "x-tenant": "a%" })
      assert.strictEqual(settings.tracesSamplerArg, 0.25)
      const error = yield* load({ OTEL_EXPORTER_OTLP_HEADERS: "s3cret" }).pipe(Effect.flip)
      assert.strictEqual(error.setting, "OTEL_EXPORTER_OTLP_HEADERS")
      assert.notInclude(error.message, "s3cret")
      for (const [name, value] of [
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"],
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "http://"],
        ["OTEL_TRACES_SAMPLER_ARG", "1.5"],
        ["OTEL_TRACES_SAMPLER_ARG", "-1"],
        ["REQUEST_LOG", "some"],
        ["REQUEST_LOG_SAMPLE", "0"]
      ] as const) {
        assert.strictEqual((yield* load({ [name]: value }).pipe(Effect.flip)).setting, name)
      }
    })
  )

  it("mention only settings that exist in their descriptions", () => {
    const all = Object.values(Config.settings)
    const names = new Set<string>(all.map(({ name }) => name))
    for (const { description, name } of all) {
      for (const [, mentioned = ""] of description.matchAll(/`([A-Z]+(?:_[A-Z]+)+)/g)) {
        assert.isTrue(names.has(mentioned), `${name} mentions ${mentioned}`)
      }
    }
  })

  it("docs/observability.md has the table of the probe's settings", () => {
    const page = readFileSync(new URL("../../docs/observability.md", import.meta.url), "utf8").replaceAll(/\s+/g, " ")
    for (const row of ProbeConfig.markdown().split("\n").slice(2)) assert.include(page, row.replaceAll(/\s+/g, " "))
  })

  it("docs/configuration.md has the tables of the settings", () => {
    const page = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8")
    const rows = (text: string) =>
      text
        .split("\n")
        .filter((line) => line.startsWith("| `"))
        .map((line) => line.replaceAll(/\s+/g, " "))
    assert.deepStrictEqual(rows(page), rows(Config.markdown()))
    assert.isNotEmpty(rows(page))
  })
})
