import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, FileSystem } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { agent, send } from "../support/Https.ts"
import { metricsWhere, sum } from "../support/Observed.ts"
import { file } from "../support/Pki.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { demoSettings, start } from "../support/Process.ts"
import { tcpConnection, tlsConnection } from "../support/Sockets.ts"

/** The status of a GET, or the code of the connection error. */
const status = (port: number, path: string) =>
  send(port, { client: "none", path }).pipe(
    Effect.map((answer) => String(answer.status)),
    Effect.catch((error) => Effect.succeed("code" in error ? String(error.code) : error.message))
  )

/** Waits until a GET of `path` has this outcome. */
const untilStatus = (port: number, path: string, expected: string) =>
  eventually(status(port, path), (now) => assert.strictEqual(now, expected, path))

/** A cluster in the test's process. */
const cluster = EmbeddedKube.layer({ seed: demoSeed, tokens: ["s3cret-token"] })

describe("process lifecycle", () => {
  it.live("serves the demo cluster and exits with 0 on SIGTERM", () =>
    Effect.gen(function* () {
      const instance = yield* start(demoSettings)
      const port = yield* instance.port
      yield* untilStatus(port, "/readyz", "200")
      const answer = yield* send(port, {
        client: "admin",
        path: "/namespaces/personal/deployments/nginx/replica_count"
      })
      assert.strictEqual(answer.body, '{"namespace":"personal","deployment":"nginx","replica_count":12}')
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
      assert.include(instance.output(), "Stopped")
    })
  )

  it.live("serves the embedded cluster with the content of EMBEDDED_SEED, read at the start only", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const seed = `${yield* fileSystem.makeTempDirectoryScoped()}/seed.yaml`
      yield* fileSystem.writeFileString(seed, "namespaces:\n  shop: { cart: 4, search: 0 }\n  empty:\n")
      const instance = yield* start({ ...demoSettings, EMBEDDED_SEED: seed, POLICY_FILE: "" })
      const port = yield* instance.port
      yield* untilStatus(port, "/readyz", "200")
      const counts = Effect.map(
        send(port, { client: "viewer", path: "/namespaces/ANY/deployments/ANY/replica_count" }),
        ({ body }) => JSON.parse(body)
      )
      const shop = (cart: number) => ({
        namespace: "shop",
        deployments: [
          { deployment: "cart", replica_count: cart },
          { deployment: "search", replica_count: 0 }
        ]
      })
      assert.deepStrictEqual(yield* counts, [{ namespace: "empty", deployments: [] }, shop(4)])
      yield* fileSystem.writeFileString(seed, "namespaces: {}")
      const write = yield* send(port, {
        client: "admin",
        method: "PUT",
        path: "/namespaces/shop/deployments/cart/replica_count/7"
      })
      assert.strictEqual(write.status, 200)
      assert.deepStrictEqual(yield* counts, [{ namespace: "empty", deployments: [] }, shop(7)])
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live(
    "on SIGTERM, /readyz returns 503, the port stays open for the drain period and requests in flight complete",
    () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        const instance = yield* start({
          ...demoSettings,
          KUBE_SOURCE: "kubeconfig",
          KUBECONFIG: kubeconfig(kube.url, { token: "s3cret-token" }),
          DRAIN_PERIOD: "1s"
        })
        const port = yield* instance.port
        yield* untilStatus(port, "/readyz", "200")
        const pool = yield* agent("admin")
        // A slow write begins before the port closes and completes after.
        yield* kube.faults.slow(1500)
        const write = yield* Effect.forkChild(
          send(port, {
            client: "admin",
            method: "PUT",
            path: "/namespaces/personal/deployments/nginx/replica_count/7",
            agent: pool
          })
        )
        yield* eventually(kube.requests, (requests) => requests.some(({ verb }) => verb === "patch"))
        instance.child.kill("SIGTERM")
        yield* untilStatus(port, "/readyz", "503")
        const read = yield* send(port, { client: "admin", path: "/namespaces" })
        assert.strictEqual(read.status, 200)
        assert.strictEqual(read.headers["connection"], "close")
        assert.strictEqual(yield* status(port, "/livez"), "200")
        yield* untilStatus(port, "/livez", "ECONNREFUSED")
        const written = yield* Fiber.join(write)
        assert.strictEqual(written.status, 200)
        assert.strictEqual(yield* instance.exited, 0)
        const { deployments } = yield* kube.snapshot
        assert.isTrue(deployments.some((one) => one.name === "nginx" && one.replicas === 7))
        assert.notInclude(instance.output(), "s3cret-token")
      }).pipe(Effect.provide(cluster))
  )

  it.live("idle and incomplete connections do not delay the shutdown", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, SHUTDOWN_TIMEOUT: "10m" })
      const port = yield* instance.port
      yield* untilStatus(port, "/readyz", "200")
      const half = yield* tlsConnection({ port }, "none")
      half.write("GET /livez HT")
      const bare = yield* tcpConnection({ port })
      const unfinished = yield* tlsConnection({ port }, "none")
      unfinished.write("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
      // The fourth is the connection of the request for the metrics.
      yield* metricsWhere(port, (page) => sum(page, "connections_open") === 4)
      assert.isFalse(bare.destroyed)
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
    })
  )

  it.live("a second signal exits at once", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, DRAIN_PERIOD: "10m" })
      const port = yield* instance.port
      instance.child.kill("SIGTERM")
      yield* untilStatus(port, "/readyz", "503")
      instance.child.kill("SIGTERM")
      assert.notStrictEqual(yield* instance.exited, 0)
    })
  )

  it.live(
    "/livez returns 200 while the cluster is unreachable, and the service becomes ready once it is reachable",
    () =>
      Effect.gen(function* () {
        const kube = yield* EmbeddedKube
        yield* kube.faults.unavailable(true)
        const instance = yield* start({
          ...demoSettings,
          KUBE_SOURCE: "kubeconfig",
          KUBECONFIG: kubeconfig(kube.url, { token: "s3cret-token" })
        })
        const port = yield* instance.port
        yield* untilStatus(port, "/livez", "200")
        assert.strictEqual(yield* status(port, "/readyz"), "503")
        yield* kube.faults.unavailable(false)
        yield* untilStatus(port, "/readyz", "200")
      }).pipe(Effect.provide(cluster))
  )

  it.live("names the denied watch in the log, and becomes ready once it is granted", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.faults.denyVerb("deployments", "watch")
      const instance = yield* start({
        ...demoSettings,
        KUBE_SOURCE: "kubeconfig",
        KUBECONFIG: kubeconfig(kube.url, { token: "s3cret-token" })
      })
      const port = yield* instance.port
      yield* instance.printed("watch")
      yield* instance.printed("deployments")
      assert.strictEqual(yield* status(port, "/readyz"), "503")
      assert.match(instance.output(), /denies this service to watch deployments/)
      yield* kube.faults.allowAll
      yield* untilStatus(port, "/readyz", "200")
    }).pipe(Effect.provide(cluster))
  )
})

describe("startup errors name the setting, the value and the fix", () => {
  const refused = (settings: Readonly<Record<string, string>>, ...expected: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, ...settings })
      assert.strictEqual(yield* instance.exited, 1)
      for (const text of expected) assert.include(instance.output(), text)
      assert.notInclude(instance.output(), "PRIVATE KEY")
      assert.notInclude(instance.output(), "node_modules")
    })
  for (const [name, settings, ...expected] of [
    ["no certificate", { TLS_CERT_FILE: "" }, "TLS_CERT_FILE", "make certs"],
    ["a missing file", { TLS_KEY_FILE: "/nowhere/key.pem" }, "TLS_KEY_FILE=/nowhere/key.pem", "no such file"],
    ["the key of another certificate", { TLS_KEY_FILE: file("admin.key") }, "TLS_KEY_FILE=", "does not belong"],
    ["a file that is not a private key", { TLS_KEY_FILE: file("server.crt") }, "TLS_KEY_FILE=", "no private key"],
    [
      "a client CA that is not an authority",
      { TLS_CLIENT_CA_FILE: file("admin.crt") },
      "TLS_CLIENT_CA_FILE=",
      "no certificate authority"
    ],
    [
      "an expired certificate",
      { TLS_CERT_FILE: file("expired-server.crt"), TLS_KEY_FILE: file("expired-server.key") },
      "TLS_CERT_FILE=",
      "expired on"
    ],
    ["a file that is not a revocation list", { TLS_CRL_FILE: file("ca.crt") }, "TLS_CRL_FILE=", "revocation list"],
    ["a port that is not a number", { PORT: "eighty" }, "PORT=eighty", "0..65535"],
    ["a zero timeout", { REQUEST_TIMEOUT: "0s" }, "REQUEST_TIMEOUT=0s", "above zero"],
    ["inconsistent timeouts", { REQUEST_TIMEOUT: "5s" }, "HEADERS_TIMEOUT=10000ms", "REQUEST_TIMEOUT or less"],
    ["an unknown value", { TLS_CLIENT_AUTH: "maybe" }, "TLS_CLIENT_AUTH=maybe", "optional, require"],
    [
      "a cipher suite that TLS 1.3 does not have",
      { TLS_CIPHERS: "RC4-MD5" },
      "TLS_CIPHERS=RC4-MD5",
      "TLS_AES_128_GCM_SHA256"
    ],
    [
      "AUTHORIZATION=policy without a policy file",
      { POLICY_FILE: "", AUTHORIZATION: "policy" },
      "POLICY_FILE (not set)",
      "AUTHORIZATION=kubernetes"
    ],
    [
      "AUTHORIZATION=kubernetes with a policy file",
      { AUTHORIZATION: "kubernetes" },
      "AUTHORIZATION=kubernetes",
      "POLICY_FILE=deploy/demo/policy.yaml"
    ],
    [
      "a missing policy file",
      { POLICY_FILE: "/nowhere/policy.yaml" },
      "POLICY_FILE=/nowhere/policy.yaml",
      "no such file"
    ],
    [
      "a file that is not a policy",
      { POLICY_FILE: "package.json" },
      "POLICY_FILE=package.json",
      "package.json:2:3 name: unknown key",
      "docs/authorization.md"
    ],
    [
      "a missing kubeconfig",
      { KUBE_SOURCE: "kubeconfig", KUBECONFIG: "/nowhere/config" },
      "KUBECONFIG",
      "/nowhere/config"
    ],
    [
      "a missing seed file",
      { EMBEDDED_SEED: "/nowhere/seed.yaml" },
      "EMBEDDED_SEED=/nowhere/seed.yaml",
      "no such file",
      "docs/testing.md"
    ],
    [
      "a file that is not a seed",
      { EMBEDDED_SEED: "package.json" },
      "EMBEDDED_SEED=package.json",
      "package.json:2:3 name: unknown key",
      "docs/testing.md"
    ],
    [
      "a seed without the embedded cluster",
      { EMBEDDED_SEED: "/seed.yaml", KUBE_SOURCE: "kubeconfig" },
      "EMBEDDED_SEED=/seed.yaml",
      "KUBE_SOURCE=embedded"
    ],
    ["outside of a cluster", { KUBE_SOURCE: "in-cluster" }, "KUBE_SOURCE"]
  ] as const) {
    it.live(name, () => refused(settings, ...expected))
  }

  it.live("a port in use", () =>
    Effect.gen(function* () {
      const first = yield* start(demoSettings)
      const port = yield* first.port
      yield* refused({ PORT: String(port) }, `PORT=${port}`, "in use")
    })
  )
})
