import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { connect, type Socket } from "node:net"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { agent, rawConnection, send } from "../support/Https.ts"
import { file } from "../support/Pki.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { demoSettings, start } from "../support/Process.ts"

const status = (port: number, path: string) =>
  send(port, { client: "none", path }).pipe(
    Effect.map((answer) => String(answer.status)),
    Effect.catch((error) => Effect.succeed("code" in error ? String(error.code) : error.message))
  )

const until = (expected: string, ask: Effect.Effect<string>): Effect.Effect<void> =>
  Effect.flatMap(ask, (answer) =>
    answer === expected ? Effect.void : Effect.andThen(Effect.sleep(20), until(expected, ask))
  )

/** A cluster in the test's process. */
const cluster = EmbeddedKube.layer({ seed: demoSeed, tokens: ["s3cret-token"] })

describe("lifecycle of the process", () => {
  it.live("runs the demo, serves it, and a SIGTERM ends it with 0", () =>
    Effect.gen(function* () {
      const instance = yield* start(demoSettings)
      const port = yield* instance.port
      yield* until("200", status(port, "/readyz"))
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

  it.live("SIGTERM: /readyz turns 503, the port stays open for the drain period, what is in flight finishes, 0", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      const instance = yield* start({
        ...demoSettings,
        KUBE_SOURCE: "kubeconfig",
        KUBECONFIG: kubeconfig(kube.url, { token: "s3cret-token" }),
        DRAIN_PERIOD: "1s"
      })
      const port = yield* instance.port
      yield* until("200", status(port, "/readyz"))
      const pool = yield* agent("admin")
      // A write that the cluster takes its time over, begun before the port closes and answered after.
      yield* kube.faults.slow(1500)
      const write = yield* Effect.forkChild(
        send(port, {
          client: "admin",
          method: "PUT",
          path: "/namespaces/personal/deployments/nginx/replica_count/7",
          agent: pool
        })
      )
      yield* Effect.sleep(300)
      instance.child.kill("SIGTERM")
      yield* until("503", status(port, "/readyz"))
      const read = yield* send(port, { client: "admin", path: "/namespaces" })
      assert.strictEqual(read.status, 200)
      assert.strictEqual(read.headers["connection"], "close")
      assert.strictEqual(yield* status(port, "/livez"), "200")
      yield* until("ECONNREFUSED", status(port, "/livez"))
      const written = yield* Fiber.join(write)
      assert.strictEqual(written.status, 200)
      assert.strictEqual(yield* instance.exited, 0)
      const { deployments } = yield* kube.snapshot
      assert.isTrue(deployments.some((one) => one.name === "nginx" && one.replicas === 7))
      assert.notInclude(instance.output(), "s3cret-token")
    }).pipe(Effect.provide(cluster))
  )

  it.live("connections on which nothing is answered do not hold the end up", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, SHUTDOWN_TIMEOUT: "10m" })
      const port = yield* instance.port
      yield* until("200", status(port, "/readyz"))
      const half = yield* rawConnection(port, "none")
      half.on("error", () => half.destroy())
      half.write("GET /livez HT")
      const bare = yield* Effect.acquireRelease(
        Effect.callback<Socket>((resume) => {
          const socket = connect(port, "127.0.0.1", () => resume(Effect.succeed(socket)))
          socket.on("error", () => socket.destroy())
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
      const unfinished = yield* rawConnection(port, "none")
      unfinished.on("error", () => unfinished.destroy())
      unfinished.write("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
      yield* Effect.sleep(200)
      assert.isFalse(bare.destroyed)
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0)
    })
  )

  it.live("a second signal ends it at once", () =>
    Effect.gen(function* () {
      const instance = yield* start({ ...demoSettings, DRAIN_PERIOD: "10m" })
      const port = yield* instance.port
      instance.child.kill("SIGTERM")
      yield* until("503", status(port, "/readyz"))
      instance.child.kill("SIGTERM")
      assert.notStrictEqual(yield* instance.exited, 0)
    })
  )

  it.live("/livez answers while the cluster is not there; once it comes, the service gets ready by itself", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* kube.faults.unavailable(true)
      const instance = yield* start({
        ...demoSettings,
        KUBE_SOURCE: "kubeconfig",
        KUBECONFIG: kubeconfig(kube.url, { token: "s3cret-token" })
      })
      const port = yield* instance.port
      yield* until("200", status(port, "/livez"))
      assert.strictEqual(yield* status(port, "/readyz"), "503")
      yield* kube.faults.unavailable(false)
      yield* until("200", status(port, "/readyz"))
    }).pipe(Effect.provide(cluster))
  )

  it.live("RBAC that denies watch: not ready, one clear log line, and ready once it is granted", () =>
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
      assert.match(instance.output(), /does not permit this service to [a-z ]*watch/)
      yield* kube.faults.allowAll
      yield* until("200", status(port, "/readyz"))
    }).pipe(Effect.provide(cluster))
  )
})

describe("errors at start name the setting, the value and the fix", () => {
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
    ["a key of another certificate", { TLS_KEY_FILE: file("admin.key") }, "TLS_KEY_FILE=", "does not belong"],
    ["a key that is none", { TLS_KEY_FILE: file("server.crt") }, "TLS_KEY_FILE=", "no private key"],
    [
      "a CA that is no CA",
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
    ["a revocation list that is none", { TLS_CRL_FILE: file("ca.crt") }, "TLS_CRL_FILE=", "revocation list"],
    ["a port that is none", { PORT: "eighty" }, "PORT=eighty", "0..65535"],
    ["a limit of no time", { REQUEST_TIMEOUT: "0s" }, "REQUEST_TIMEOUT=0s", "above zero"],
    ["limits that do not go together", { REQUEST_TIMEOUT: "5s" }, "HEADERS_TIMEOUT=10000ms", "REQUEST_TIMEOUT or less"],
    ["a word that is none", { TLS_CLIENT_AUTH: "maybe" }, "TLS_CLIENT_AUTH=maybe", "optional, require"],
    ["a suite that TLS 1.3 has not", { TLS_CIPHERS: "RC4-MD5" }, "TLS_CIPHERS=RC4-MD5", "TLS_AES_128_GCM_SHA256"],
    [
      "no policy where one is to decide",
      { POLICY_FILE: "", AUTHORIZATION: "policy" },
      "POLICY_FILE (not set)",
      "AUTHORIZATION=kubernetes"
    ],
    [
      "a policy where the cluster is to decide",
      { AUTHORIZATION: "kubernetes" },
      "AUTHORIZATION=kubernetes",
      "POLICY_FILE=deploy/demo/policy.yaml"
    ],
    ["a missing policy", { POLICY_FILE: "/nowhere/policy.yaml" }, "POLICY_FILE=/nowhere/policy.yaml", "no such file"],
    [
      "a policy that is none",
      { POLICY_FILE: "package.json" },
      "POLICY_FILE=package.json",
      "package.json:2:3 name: unknown key",
      "docs/authorization.md"
    ],
    ["no kubeconfig", { KUBE_SOURCE: "kubeconfig", KUBECONFIG: "/nowhere/config" }, "KUBECONFIG", "/nowhere/config"],
    ["not in a cluster", { KUBE_SOURCE: "in-cluster" }, "KUBE_SOURCE"]
  ] as const) {
    it.live(name, () => refused(settings, ...expected))
  }

  it.live("a port that is taken", () =>
    Effect.gen(function* () {
      const first = yield* start(demoSettings)
      const port = yield* first.port
      yield* refused({ PORT: String(port) }, `PORT=${port}`, "in use")
    })
  )
})
