/** The programs that are measured, each in a process of its own that ends with the scope. */
import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { demoSettings, start } from "../test/support/Process.ts"

/** A process that answers over mutual TLS. */
export interface Server {
  readonly name: string
  readonly port: number
  readonly pid: number
}

/** A cluster of its own. `url` is its API; `control`, where it is told to change. */
export interface Cluster {
  readonly url: string
  readonly control: string
}

/** What a cluster holds: `namespaces` `load-00000` and up with `each` deployments in them, of more than 4 kB of JSON. */
export interface ClusterSize {
  readonly namespaces: number
  readonly each: number
  /** More namespaces, `sized-10` for 10, with as many deployments `deployment-00000` and up. */
  readonly sized?: ReadonlyArray<number>
}

/** Starts an embedded cluster. */
export const startCluster = Effect.fnUntraced(function* ({ each, namespaces, sized = [] }: ClusterSize) {
  const instance = yield* start(
    { NAMESPACES: String(namespaces), EACH: String(each), SIZED: sized.join(",") },
    "bench/ClusterProcess.ts"
  )
  yield* instance.printed('"control"')
  const { control, url }: Cluster = JSON.parse(instance.output())
  return { url, control }
})

/** A file for `text`, which stays behind in the machine's folder for such. */
export const temporaryFile = (name: string, text: string): string => {
  const path = join(mkdtempSync(join(tmpdir(), "bench-")), name)
  writeFileSync(path, text)
  return path
}

/** A kubeconfig that names the cluster. */
export const kubeconfigOf = ({ url }: Cluster): string =>
  temporaryFile(
    "kubeconfig",
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "bench",
      // client-node speaks plain HTTP only to a cluster whose certificate it does not check.
      clusters: [{ name: "bench", cluster: { server: url, "insecure-skip-tls-verify": true } }],
      users: [{ name: "bench", user: {} }],
      contexts: [{ name: "bench", context: { cluster: "bench", user: "bench" } }]
    })
  )

/** The settings of the service over this cluster: as by default, with a policy, and limits that are kept but never reached. */
export const serviceSettings = (cluster: Cluster): Readonly<Record<string, string>> => ({
  ...demoSettings,
  KUBE_SOURCE: "kubeconfig",
  KUBECONFIG: kubeconfigOf(cluster),
  RATE_LIMIT_READS: "1000000",
  RATE_LIMIT_WRITES: "1000000"
})

/** Starts a program that prints its port; waits until it has printed `ready` too. */
export const startServer = Effect.fnUntraced(function* (
  name: string,
  settings: Readonly<Record<string, string>>,
  program: string,
  ready = '"port"'
) {
  const instance = yield* start(settings, program)
  const port = yield* instance.port
  yield* instance.printed(ready)
  // Its log is read, as it would be, and not kept.
  instance.child.stdout?.removeAllListeners("data").resume()
  return { name, port, pid: instance.child.pid ?? 0 } satisfies Server
})

/** Starts the whole service over this cluster; waits until it has synced. */
export const startService = (cluster: Cluster, name = "kube-resource-api") =>
  startServer(name, serviceSettings(cluster), "src/main.ts", '"Ready"')

/** Starts the baseline: a bare node:https server that answers each of these paths with its body. */
export const startBare = (bodies: Readonly<Record<string, string>>) =>
  startServer(
    "bare node:https",
    { BODIES: temporaryFile("bodies.json", JSON.stringify(bodies)) },
    "bench/BareServer.ts"
  )
