/**
 * The baseline of the sync: client-node's informers of namespaces and deployments for the cluster of `KUBECONFIG`. Prints
 * "Ready" once both have listed, and keeps running. It lists in pages: 100,000 objects of 16 kB in one response are 1.6 GB of
 * JSON, more than Node's maximum string length. At that size the heap needs a higher --max-old-space-size.
 */
import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  makeInformer
} from "@kubernetes/client-node"
import { Config, Effect } from "effect"

interface Page {
  readonly limit: number
  readonly _continue?: string
}

/** Lists all pages. */
const paged =
  <A extends KubernetesObject>(list: (page: Page) => Promise<KubernetesListObject<A>>) =>
  async (): Promise<KubernetesListObject<A>> => {
    const first = await list({ limit: 500 })
    for (let token = first.metadata?._continue; token !== undefined && token !== "";) {
      const next = await list({ limit: 500, _continue: token })
      for (const item of next.items) first.items.push(item)
      token = next.metadata?._continue
    }
    return first
  }

const main = Effect.gen(function* () {
  const config = new KubeConfig()
  config.loadFromFile(yield* Config.String("KUBECONFIG"))
  const core = config.makeApiClient(CoreV1Api)
  const apps = config.makeApiClient(AppsV1Api)
  const listNamespaces = paged((page) => core.listNamespace(page))
  const listDeployments = paged((page) => apps.listDeploymentForAllNamespaces(page))
  const namespaces = makeInformer(config, "/api/v1/namespaces", listNamespaces)
  const deployments = makeInformer(config, "/apis/apps/v1/deployments", listDeployments)
  for (const informer of [namespaces, deployments]) {
    informer.on("error", (error: unknown) => process.stderr.write(`informer: ${String(error)}\n`))
  }
  yield* Effect.promise(() => Promise.all([namespaces.start(), deployments.start()]))
  process.stdout.write(`"Ready" ${deployments.list().length} deployments\n`)
  return yield* Effect.never
})

await Effect.runPromise(main)
