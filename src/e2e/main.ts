/**
 * The conformance suite: checks the contract on a running instance and the cluster that it serves, in namespaces that it
 * creates and deletes. The exit status is 0 if no check failed.
 */
import { Cause, Console, Effect, Layer, References } from "effect"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { randomBytes } from "node:crypto"
import * as KubeConfig from "../kube/KubeConfig.ts"
import * as KubeHttp from "../kube/KubeHttp.ts"
import { Mismatch, runAll } from "./Check.ts"
import { all } from "./Checks.ts"
import type { Scratch } from "./Requests.ts"
import * as ScratchCluster from "./ScratchCluster.ts"
import * as ServiceUnderTest from "./ServiceUnderTest.ts"
import * as Settings from "./Settings.ts"

const prepare = Effect.fnUntraced(function* ({ empty, one, two }: Scratch) {
  const cluster = yield* ScratchCluster.ScratchCluster
  for (const namespace of [one, two, empty]) {
    yield* Effect.acquireRelease(cluster.createNamespace(namespace), () =>
      Effect.catch(cluster.deleteNamespace(namespace), (error) =>
        Console.error(`${error.message}. Delete the namespace ${namespace} yourself.`)
      )
    )
  }
  yield* cluster.createDeployment(one, "kafka", 3)
  yield* cluster.createDeployment(one, "nginx", 2)
  yield* cluster.createDeployment(one, "resource.access", undefined)
  yield* cluster.createDeployment(two, "nginx", 5)
})

const suite = Effect.fnUntraced(function* (settings: Settings.Settings) {
  const name = `e2e-${randomBytes(4).toString("hex")}`
  const scratch: Scratch = {
    one: `${name}-one`,
    two: `${name}-two`,
    empty: `${name}-empty`,
    absent: `${name}-absent`,
    patienceMillis: settings.patienceMillis
  }
  yield* Console.log(`${settings.url.origin}, in namespaces ${name}-*`)
  const tally = yield* Effect.scoped(Effect.andThen(prepare(scratch), runAll(all(scratch))))
  yield* Console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.leftOut} left out`)
  if (tally.failed > 0) return yield* new Mismatch({ message: "The service does not conform to its contract." })
  return undefined
})

const services = (settings: Settings.Settings) =>
  Layer.merge(
    ServiceUnderTest.layer(settings),
    ScratchCluster.layer.pipe(
      Layer.provide(KubeHttp.layer),
      Layer.provide(
        KubeConfig.layer({ source: "auto", kubeconfigPath: settings.kubeconfig, context: settings.kubeContext })
      )
    )
  )

const main = Effect.flatMap(Settings.load, (settings) => Effect.provide(suite(settings), services(settings))).pipe(
  Effect.tapCause((cause) => {
    const error = Cause.squash(cause)
    return Cause.hasInterruptsOnly(cause)
      ? Effect.void
      : Console.error(error instanceof Error && "_tag" in error ? error.message : Cause.pretty(cause))
  }),
  Effect.provide(NodeServices.layer),
  Effect.provideService(References.MinimumLogLevel, "Warn")
)

NodeRuntime.runMain(main, { disableErrorReporting: true })
