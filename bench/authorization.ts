/**
 * CPU nanoseconds of an authorization check: with policies of 10 and 1,000 rules, with cached decisions of the cluster, and
 * without an authorizer. Run: `node bench/authorization.ts`
 */
import { Context, Duration, Effect, Layer, Result } from "effect"
import { AccessReviewer } from "../src/model/AccessReviewer.ts"
import { DeploymentName, NamespaceName } from "../src/contract/Names.ts"
import { type Access, Authorization, refused } from "../src/authorization/Authorization.ts"
import * as ClusterAuthorization from "../src/authorization/ClusterAuthorization.ts"
import type { Identity } from "../src/identity/Identity.ts"
import { decider } from "../src/authorization/PolicyDecision.ts"
import { decodePolicy } from "../src/authorization/PolicyFile.ts"
import { isQuick, print, table, title } from "./Report.ts"
import { spread } from "./Spread.ts"

const identity = (user: string, ...groups: ReadonlyArray<string>): Identity => ({
  user,
  groups,
  serialNumber: "01",
  issuer: "CN=bench",
  expiresAt: Number.MAX_SAFE_INTEGER,
  spiffeIds: []
})

/** Reads of 64 deployments. */
const accesses: ReadonlyArray<Access> = Array.from({ length: 64 }, (_, n) => ({
  verb: "get",
  resource: "replica_count",
  namespace: NamespaceName.make(`team-${n % 8}`),
  deployment: DeploymentName.make(`service-${n}`)
}))

/** A policy of `count` rules. The last one allows the caller; with `forAll`, all apply to the caller. */
const policy = (count: number, forAll: boolean): Layer.Layer<Authorization> => {
  const rules = Array.from({ length: count }, (_, n) => ({
    subjects: { groups: [forAll || n === count - 1 ? "callers" : `group-${n}`] },
    verbs: ["list", "get"],
    namespaces: [n === count - 1 ? "team-*" : `other-${n}`],
    deployments: ["*"]
  }))
  const decide = decider(Result.getOrThrow(decodePolicy("policy.yaml", JSON.stringify({ rules }))))
  return Layer.succeed(Authorization, {
    alreadyAllows: (who, access) => decide(who, access),
    requiresIfMatch: (who, access) => !decide(who, access, false),
    check: (who, access) => (decide(who, access) ? Effect.void : Effect.fail(refused(who, access)))
  })
}

const cluster = ClusterAuthorization.layer({
  authorizationCacheAllow: Duration.hours(1),
  authorizationCacheDeny: Duration.hours(1),
  authorizationCacheSize: 10_000,
  authorizationDeniedGroups: []
}).pipe(Layer.provide(Layer.succeed(AccessReviewer, { review: () => Effect.succeed(true) })))

const measure = Effect.fnUntraced(function* (
  layer: Layer.Layer<Authorization>,
  filled: number,
  rounds: number,
  checks: number
) {
  const authorization = Context.get(yield* Layer.build(layer), Authorization)
  // Fill the cache with decisions for other callers.
  for (let n = 0; n < filled; n++)
    yield* authorization.check(identity(`other-${n}`), { verb: "list", resource: "namespaces" })
  const who = identity("caller", "callers", "people")
  const times = []
  for (let round = 0; round <= rounds; round++) {
    const begin = process.cpuUsage()
    for (let n = 0; n < checks; n++) {
      const access = accesses[n % accesses.length]
      if (access !== undefined) yield* authorization.check(who, access)
    }
    // The first round is a warm-up.
    const { system, user } = process.cpuUsage(begin)
    if (round > 0) times.push(((system + user) * 1000) / checks)
  }
  return times
}, Effect.scoped)

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const [rounds, checks] = quick ? [1, 50_000] : [7, 500_000]
  yield* title("authorization")
  const rows = yield* Effect.forEach(
    [
      ["none: everything is allowed", Authorization.layerAllowAll, 0],
      ["a policy of 10 rules", policy(10, false), 0],
      ["a policy of 1,000 rules, one of them the caller's", policy(1000, false), 0],
      ["a policy of 1,000 rules, all of them the caller's", policy(1000, true), 0],
      ["the cluster, its answer cached among 100", cluster, 100],
      ["the cluster, its answer cached among 9,900", cluster, 9900]
    ] as const,
    ([name, layer, filled]) => Effect.map(measure(layer, filled, rounds, checks), (times) => [name, spread(times, 0)])
  )
  yield* print(`${checks} checks a round, ${rounds} rounds\n`)
  yield* table(["authorizer", "CPU ns"], rows)
})

await Effect.runPromise(main)
