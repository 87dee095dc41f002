/**
 * The baseline of the sync: client-node's informers of namespaces and deployments for the cluster of `KUBECONFIG`. Prints
 * "Ready" once both have listed, and keeps running.
 */
import { AppsV1Api, CoreV1Api, KubeConfig, makeInformer } from "@kubernetes/client-node"
import { Config, Effect } from "effect"

const main = Effect.gen(function* () {
  const config = new KubeConfig()
  config.loadFromFile(yield* Config.String("KUBECONFIG"))
  const core = config.makeApiClient(CoreV1Api)
  const apps = config.makeApiClient(AppsV1Api)
  const namespaces = makeInformer(config, "/api/v1/namespaces", () => core.listNamespace())
  const deployments = makeInformer(config, "/apis/apps/v1/deployments", () => apps.listDeploymentForAllNamespaces())
  for (const informer of [namespaces, deployments]) {
    informer.on("error", (error: unknown) => process.stderr.write(`informer: ${String(error)}\n`))
  }
  yield* Effect.promise(() => Promise.all([namespaces.start(), deployments.start()]))
  process.stdout.write(`"Ready" ${deployments.list().length} deployments\n`)
  return yield* Effect.never
})

await Effect.runPromise(main)
