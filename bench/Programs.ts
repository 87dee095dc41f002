/** The measured programs, each in a process of its own that ends with the scope. */
import { Effect, Schema } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { kubeconfig } from "../test/support/Kubeconfig.ts"
import { demoSettings, start } from "../test/support/Process.ts"
import { cpuMicros, residentMegabytes } from "./ProcessUsage.ts"

/** A process that serves over mutual TLS. */
export interface Server {
  readonly name: string
  readonly port: number
  readonly pid: number
}

/** An embedded or an encoded cluster, by the URL of its API. */
export interface Cluster {
  readonly url: string
}

/** `namespaces` namespaces `load-00000` and up with `each` deployments of more than 4 kB of JSON. */
export interface ClusterSize {
  readonly namespaces: number
  readonly each: number
  /** Further namespaces, such as `sized-10` with the ten deployments `deployment-00000` and up. */
  readonly sized?: ReadonlyArray<number>
}

/** Starts an embedded cluster. */
export const startCluster = Effect.fnUntraced(function* ({ each, namespaces, sized = [] }: ClusterSize) {
  const instance = yield* start(
    { NAMESPACES: String(namespaces), EACH: String(each), SIZED: sized.join(",") },
    "bench/ClusterProcess.ts"
  )
  yield* instance.printed('"url"')
  const { url }: Cluster = JSON.parse(instance.output())
  return { url }
})

/** An encoded cluster. `control` is the URL of its control server. */
export interface EncodedCluster extends Cluster {
  readonly control: string
}

/** Starts an encoded cluster of `deployments` deployments, `each` per namespace. */
export const startEncodedCluster = Effect.fnUntraced(function* (deployments: number, each = 100) {
  const instance = yield* start({ DEPLOYMENTS: String(deployments), EACH: String(each) }, "bench/EncodedCluster.ts")
  yield* instance.printed('"control"')
  const { control, url }: EncodedCluster = JSON.parse(instance.output())
  return { url, control }
})

const decodeChanged = Schema.decodeUnknownEffect(
  Schema.Struct({ count: Schema.Number, probed: Schema.Array(Schema.Number), bytes: Schema.Number })
)

/** Changes deployments of an encoded cluster, as its control server describes. */
export const changeDeployments = ({ control }: EncodedCluster, perSecond: number, seconds: number, from: number) =>
  Effect.promise(() =>
    fetch(`${control}/?perSecond=${perSecond}&seconds=${seconds}&from=${from}`, { method: "POST" }).then((answer) =>
      answer.json()
    )
  ).pipe(Effect.flatMap(decodeChanged), Effect.orDie)

/** The number of bytes that an encoded cluster has sent in lists and watches since its start. */
export const bytesSent = (cluster: EncodedCluster) =>
  Effect.map(changeDeployments(cluster, 1, 0, 0), ({ bytes }) => bytes)

/** Writes a temporary file. */
const temporaryFile = (name: string, text: string): string => {
  const path = join(mkdtempSync(join(tmpdir(), "bench-")), name)
  writeFileSync(path, text)
  return path
}

/** The settings of the service with this cluster: the defaults, a policy, and rate limits that are never reached. */
export const serviceSettings = ({ url }: Cluster): Readonly<Record<string, string>> => ({
  ...demoSettings,
  KUBE_SOURCE: "kubeconfig",
  // client-node accepts plain HTTP only from a cluster whose certificate it does not verify.
  KUBECONFIG: kubeconfig(url, {}, { "insecure-skip-tls-verify": true }),
  RATE_LIMIT_READS: "1000000",
  RATE_LIMIT_WRITES: "1000000"
})

/** Starts a program that prints its port, and waits until it prints `ready`. */
export const startServer = Effect.fnUntraced(function* (
  name: string,
  settings: Readonly<Record<string, string>>,
  program: string,
  ready = '"port"'
) {
  const instance = yield* start(settings, program)
  const port = yield* instance.port
  yield* instance.printed(ready)
  // Read the log, as a supervisor would, but do not keep it.
  instance.child.stdout?.removeAllListeners("data").resume()
  return { name, port, pid: instance.child.pid ?? 0 } satisfies Server
})

/** Starts a program and waits without a timeout until it prints "Ready". `millis`: the time until then. */
export const startSyncing = Effect.fnUntraced(function* (settings: Readonly<Record<string, string>>, program: string) {
  const began = performance.now()
  const { child, exited, output } = yield* start(settings, program)
  const pid = child.pid ?? 0
  const ready = Effect.callback<void>((resume) => {
    const look = () => (output().includes('"Ready"') ? resume(Effect.void) : undefined)
    child.stdout?.on("data", look)
    look()
  })
  const failed = Effect.flatMap(exited, () => Effect.die(new Error(output())))
  yield* Effect.raceFirst(ready, failed)
  return { pid, millis: performance.now() - began, cpu: cpuMicros(pid), resident: residentMegabytes(pid), output }
})

/** Starts the service with this cluster and waits until it has synced. */
export const startService = (cluster: Cluster, name = "kube-resource-api") =>
  startServer(name, serviceSettings(cluster), "src/main.ts", '"Ready"')

/** Settings that share the state of the cluster through this Redis. */
export const sharing = (redisUrl: string, role: "server" | "watcher"): Readonly<Record<string, string>> => ({
  CACHE: "redis",
  REDIS_URL: redisUrl,
  ROLE: role
})

/** Starts an instance of the service that shares the state of this cluster, and waits until it is ready. */
export const startSharing = (cluster: Cluster, redisUrl: string, role: "server" | "watcher") =>
  startServer(role, { ...serviceSettings(cluster), ...sharing(redisUrl, role) }, "src/main.ts", '"Ready"')

/** Starts the baseline: a bare node:https server with a body for each path. */
export const startBare = (bodies: Readonly<Record<string, string>>) =>
  startServer(
    "bare node:https",
    { BODIES: temporaryFile("bodies.json", JSON.stringify(bodies)) },
    "bench/BareServer.ts"
  )
