/** Instances of the service, probes and load for the tests with a real Prometheus. */
import { Effect, Random, Schedule, type Scope } from "effect"
import { copyFileSync, mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openStream } from "../support/EventStreams.ts"
import { agent, send } from "../support/Https.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { type Client, clientSettings, file } from "../support/Pki.ts"
import * as Process from "../support/Process.ts"

/** The token of the instances for the cluster. */
export const token = "scene"

/** Copies of an instance's files, which the test can change. */
export const ownFiles = () => {
  const folder = mkdtempSync(join(tmpdir(), "instance-"))
  const own = (name: string, from: string) => {
    const path = join(folder, name)
    copyFileSync(from, path)
    return path
  }
  return {
    TLS_CERT_FILE: own("tls.crt", file("server.crt")),
    TLS_KEY_FILE: own("tls.key", file("server.key")),
    TLS_CLIENT_CA_FILE: own("ca.crt", file("ca.crt")),
    POLICY_FILE: own("policy.yaml", new URL("../../deploy/demo/policy.yaml", import.meta.url).pathname)
  }
}

/** A ready instance on `port` with the cluster at `url`. */
export const instance = (url: string, port: number, settings: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const started = yield* Process.start({
      ...Process.demoSettings,
      KUBE_SOURCE: "kubeconfig",
      KUBECONFIG: kubeconfig(url, { token }),
      PORT: String(port),
      DRAIN_PERIOD: "100ms",
      ...settings
    })
    yield* started.printed('"Ready"')
    return started
  })

/** A probe that runs its queries twice a second and serves metrics on `metricsPort`. */
export const probe = (port: number, metricsPort: number, settings: Readonly<Record<string, string>> = {}) =>
  Process.start(
    {
      PROBE_URL: `https://localhost:${port}`,
      ...clientSettings("PROBE", "admin"),
      PROBE_MODE: "loop",
      PROBE_INTERVAL: "500ms",
      PROBE_TIMEOUT: "2s",
      HOST: "127.0.0.1",
      METRICS_PORT: String(metricsPort),
      ...settings
    },
    "src/probe/main.ts"
  )

/**
 * Sends reads, writes and all kinds of refused requests until the scope closes, some fifty a second, and holds a wait and an
 * event stream.
 */
export const load = (port: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const count = "/namespaces/personal/deployments/nginx/replica_count"
    const asked: ReadonlyArray<{
      readonly client: Client
      readonly path: string
      readonly method?: string
      readonly headers?: Readonly<Record<string, string>>
    }> = [
      { client: "viewer", path: "/namespaces" },
      { client: "viewer", path: "/namespaces/ANY/deployments" },
      { client: "viewer", path: count },
      { client: "viewer", path: count, method: "HEAD" },
      { client: "viewer", path: count, headers: { "if-none-match": "*" } },
      { client: "viewer", path: "/namespaces/personal/deployments/gone/replica_count" },
      { client: "viewer", path: `${count}/5`, method: "PUT" },
      { client: "nobody", path: count },
      { client: "none", path: count },
      { client: "expired", path: count },
      { client: "viewer", path: "/nope" },
      { client: "viewer", path: "/openapi.json" },
      { client: "none", path: "/readyz" }
    ]
    const pools = {
      viewer: yield* agent("viewer"),
      nobody: yield* agent("nobody"),
      admin: yield* agent("admin")
    }
    const ask = ({ client, headers = {}, method = "GET", path }: (typeof asked)[number]) =>
      Effect.ignore(
        send(port, {
          client,
          path,
          method,
          headers,
          ...(client === "viewer" || client === "nobody" ? { agent: pools[client] } : {})
        })
      )
    const writes = Effect.flatMap(Random.nextIntBetween(1, 9), (replicas) =>
      Effect.ignore(send(port, { client: "admin", path: `${count}/${replicas}`, method: "PUT", agent: pools.admin }))
    )
    yield* ask({ client: "admin", path: count, headers: { "if-none-match": "*", prefer: "wait=1" } }).pipe(
      Effect.repeat(Schedule.spaced("100 millis")),
      Effect.forkScoped
    )
    yield* Effect.orDie(openStream(port, { client: "viewer", path: count }))
    yield* Effect.forEach(asked, ask, { discard: true }).pipe(
      Effect.andThen(writes),
      Effect.repeat(Schedule.spaced("100 millis")),
      Effect.forkScoped
    )
  })
