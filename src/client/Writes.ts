/** Writes of a replica count: with or without a precondition, and as an update of the current count. */
import { Data, Effect, Ref, Schedule } from "effect"
import { Headers } from "effect/http"
import type { HttpApiClient, HttpApiEndpoint } from "effect/http-api"
import type { Api } from "../contract/Api.ts"
import type { DeploymentName, NamespaceName, ReplicaCount } from "../contract/Names.ts"
import { alreadySetField, type WriteHeaders, type WriteQuery } from "../contract/Preconditions.ts"
import { PreconditionFailed } from "../contract/Problems.ts"
import type { OfDeployment } from "./Requests.ts"

type Generated = HttpApiClient.ForApi<typeof Api>

/** A write: its path parameters, and optionally its precondition and a dry run. */
export interface SetReplicaCount {
  readonly params: {
    readonly namespace: NamespaceName
    readonly deployment: DeploymentName
    readonly replica_count: ReplicaCount
  }
  /** `if-match`: the count that the deployment must have, or `*` for any. */
  readonly headers?: typeof WriteHeaders.Type
  /** `dryRun`: the cluster checks the write and changes nothing. */
  readonly query?: typeof WriteQuery.Type
}

// A generated method takes a key for each part of a request, also where all of the part is optional.
const setReplicaCount =
  (client: Generated) =>
  <Mode extends HttpApiEndpoint.ClientResponseMode = "decoded-only">(
    request: SetReplicaCount & { readonly responseMode?: Mode }
  ) =>
    client.setReplicaCount({ ...request, headers: request.headers ?? {}, query: request.query ?? {} })

/** An update: the deployment, and a function from its current count to its next count. */
export interface UpdateReplicaCount<E = never, R = never> extends OfDeployment {
  readonly update: (current: ReplicaCount) => ReplicaCount | Effect.Effect<ReplicaCount, E, R>
}

// Jitter: clients that conflict retry at different times.
const attempts = Schedule.exponential("50 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 9 }))

/** Another client has written. A private class, so that errors of the caller's `update` are not retried. */
class Conflict extends Data.TaggedError("Conflict")<{ readonly problem: PreconditionFailed }> {}

const isConflict = (error: unknown): error is Conflict => error instanceof Conflict

const updateReplicaCount =
  (client: Generated) =>
  <E = never, R = never>({ params, update }: UpdateReplicaCount<E, R>) =>
    Effect.gen(function* () {
      const { replica_count } = yield* client.getReplicaCount({ params })
      const current = yield* Ref.make(replica_count)
      const conflict = (problem: PreconditionFailed) =>
        Effect.andThen(Ref.set(current, problem.current), Effect.fail(new Conflict({ problem })))
      const attempt = Effect.gen(function* () {
        const expected = yield* Ref.get(current)
        const updated = update(expected)
        const next = Effect.isEffect(updated) ? yield* updated : updated
        const [, { headers }] = yield* client
          .setReplicaCount({
            params: { ...params, replica_count: next },
            headers: { "if-match": expected },
            query: {},
            responseMode: "decoded-and-response"
          })
          .pipe(Effect.catchTag("PreconditionFailed", conflict))
        // Another client has set the same count, so an increment must start from it.
        return Headers.has(headers, alreadySetField) ? yield* conflict(new PreconditionFailed({ current: next })) : next
      })
      return yield* attempt.pipe(
        Effect.retry({ schedule: attempts, while: isConflict }),
        Effect.catchIf(isConflict, ({ problem }) => Effect.fail(problem))
      )
    })

/** The methods that write. */
export const make = (client: Generated) => ({
  setReplicaCount: setReplicaCount(client),
  /**
   * Sets the count to `update(current)` and returns it. If another client writes in between, even the same count, `update`
   * runs again with the new count, so no write is lost. Fails with `PreconditionFailed` after ten attempts.
   */
  updateReplicaCount: updateReplicaCount(client)
})
