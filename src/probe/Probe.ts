/** Synthetic queries: take the usage path of the service from end to end, as a client does. */
import { Clock, Data, Duration, Effect, Predicate, Ref, Schedule, Schema } from "effect"
import type { Client } from "../client/Client.ts"
import type { DeploymentName, NamespaceName } from "../contract/Names.ts"
import type { DeploymentRef } from "../model/ReadModel.ts"
import { ReplicaCount } from "../contract/Names.ts"

/** The steps, in order. The last two need a canary. */
export const steps = [
  "readiness",
  "list_namespaces",
  "list_deployments",
  "get_replica_count",
  "set_replica_count",
  "read_back"
] as const

/** A step. */
export type Step = (typeof steps)[number]

/** The result of a step. `problem` is `undefined` if it succeeded. */
export interface StepResult {
  readonly step: Step
  readonly durationMillis: number
  readonly problem: string | undefined
}

/** The options of a run. */
export interface ProbeOptions {
  /** A deployment reserved for the probe; without one nothing is written. */
  readonly canary: DeploymentRef | undefined
  /** The timeout of each step. */
  readonly timeout: Duration.Input
}

/** The service gave an unexpected response. */
class Unexpected extends Data.TaggedError("Unexpected")<{ readonly detail: string }> {}

const unexpected = (detail: string) => Effect.fail(new Unexpected({ detail }))

const problemOf = (error: unknown): string => {
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error"
  if (Predicate.hasProperty(error, "detail")) return `${tag}: ${String(error.detail)}`
  // The cause has the transport's message, such as "connect ECONNREFUSED".
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : error
  const cause = Predicate.hasProperty(reason, "cause") ? reason.cause : undefined
  if (cause instanceof Error) return `${tag}: ${cause.message}`
  return error instanceof Error ? `${tag}: ${error.message}` : tag
}

const count = Schema.decodeUnknownEffect(ReplicaCount)

const readBackEvery = Schedule.spaced("100 millis")

/**
 * Runs the steps up to the first that fails; later steps have no result. Reads the count of the canary, or of the first
 * deployment; without any deployment the run ends after the lists. Sets a canary's count from 0 to 1 or from 1 to 0, and
 * reads until the change is visible.
 */
export const run = Effect.fnUntraced(function* (client: Client, { canary, timeout }: ProbeOptions) {
  const results = yield* Ref.make<ReadonlyArray<StepResult>>([])

  const step = <A, E>(name: Step, ask: Effect.Effect<A, E>): Effect.Effect<A, Unexpected> =>
    Effect.gen(function* () {
      const from = yield* Clock.currentTimeNanos
      const exit = yield* ask.pipe(
        Effect.mapError(problemOf),
        Effect.timeoutOrElse({
          duration: timeout,
          orElse: () => Effect.fail(`no answer within ${Duration.format(Duration.fromInputUnsafe(timeout))}`)
        }),
        Effect.result
      )
      const durationMillis = Number((yield* Clock.currentTimeNanos) - from) / 1e6
      const problem = exit._tag === "Failure" ? exit.failure : undefined
      yield* Ref.update(results, (before) => [...before, { step: name, durationMillis, problem }])
      return exit._tag === "Failure" ? yield* unexpected(exit.failure) : exit.success
    })

  const deploymentsOf = (namespace: NamespaceName) =>
    Effect.flatMap(client.listDeployments({ params: { namespace } }), (answer) =>
      "deployments" in answer && answer.namespace === namespace
        ? Effect.succeed(answer.deployments)
        : unexpected(`the answer is not about namespace ${namespace}`)
    )

  const countOf = (namespace: NamespaceName, deployment: DeploymentName) =>
    Effect.flatMap(client.getReplicaCount({ params: { namespace, deployment } }), (answer) =>
      "replica_count" in answer && answer.deployment === deployment
        ? Effect.succeed(answer.replica_count)
        : unexpected(`the answer is not about deployment ${deployment}`)
    )

  const findDeployment = (namespaces: ReadonlyArray<NamespaceName>) =>
    Effect.gen(function* () {
      if (canary !== undefined) {
        const names = yield* deploymentsOf(canary.namespace)
        return names.includes(canary.name)
          ? canary
          : yield* unexpected(`the canary ${canary.name} is not listed in namespace ${canary.namespace}`)
      }
      for (const namespace of namespaces) {
        const [name] = yield* deploymentsOf(namespace)
        if (name !== undefined) return { namespace, name }
      }
      return undefined
    })

  yield* Effect.gen(function* () {
    yield* step("readiness", client.readyz())
    const { namespaces } = yield* step("list_namespaces", client.listNamespaces())
    const ref = yield* step("list_deployments", findDeployment(namespaces))
    if (ref === undefined) return
    const before = yield* step("get_replica_count", countOf(ref.namespace, ref.name))
    if (canary === undefined) return
    const target = yield* step(
      "set_replica_count",
      Effect.gen(function* () {
        if (before > 1) {
          return yield* unexpected(
            `the canary has ${before} replicas: it is used by others, and is left alone. It must have 0 or 1`
          )
        }
        const target = yield* count(1 - before)
        yield* client.setReplicaCount({
          params: { namespace: canary.namespace, deployment: canary.name, replica_count: target }
        })
        return target
      })
    )
    // The next request may reach another instance, which learns of the write from the cluster.
    yield* step(
      "read_back",
      countOf(canary.namespace, canary.name).pipe(
        Effect.repeat({ schedule: readBackEvery, until: (read) => read === target })
      )
    )
  }).pipe(Effect.ignore)
  return yield* Ref.get(results)
})
