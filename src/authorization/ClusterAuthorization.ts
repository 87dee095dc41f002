import { Duration, Effect, Fiber, FiberMap, Layer, Metric, Option, PartitionedSemaphore } from "effect"
import { createHash } from "node:crypto"
import {
  AccessReviewer,
  type AccessQuestion,
  type AccessSubject,
  type PathAccess,
  type ResourceAccess
} from "../model/AccessReviewer.ts"
import type { Settings } from "../settings/Settings.ts"
import { ClusterUnavailable } from "../contract/Problems.ts"
import { type Access, Authorization, refused } from "./Authorization.ts"
import type { Identity } from "../identity/Identity.ts"
import * as KeptAnswers from "./KeptAnswers.ts"

/** The settings of the cached answers. */
export type ClusterAuthorizationSettings = Pick<
  Settings,
  "authorizationCacheAllow" | "authorizationCacheDeny" | "authorizationCacheSize" | "authorizationDeniedGroups"
>

/** Concurrent access reviews. Others wait in a queue. */
export const maxConcurrentReviews = 32

/** Reviews in flight and in the queue. A further one fails at once, and its client is told to retry. */
export const maxPendingReviews = 1024

/** The share of one subject, which leaves places for the others. */
export const maxPendingReviewsOfOne = maxPendingReviews / 2

/** The timeout of a review, including its time in the queue. */
const reviewTimeout = Duration.seconds(5)

const noAnswer = new ClusterUnavailable({
  detail: "The cluster authorizes requests, and did not answer in time."
})

const tooMany = new ClusterUnavailable({
  detail: "The cluster authorizes requests, and too many requests are waiting for its answer."
})

/** Access reviews by the cluster, by outcome. */
export const accessReviews = Metric.counter("access_reviews_total", {
  description: "Access reviews by the cluster, by outcome: allowed, denied or failed.",
  incremental: true
})
const outcomes = {
  allowed: Metric.withAttributes(accessReviews, { outcome: "allowed" }),
  denied: Metric.withAttributes(accessReviews, { outcome: "denied" }),
  failed: Metric.withAttributes(accessReviews, { outcome: "failed" })
}

/** Lookups in the cache of answers. */
const cache = Metric.counter("access_review_cache_total", {
  description: "Lookups in the cache of the cluster's answers, by result: hit or miss.",
  incremental: true
})
const lookups = {
  hit: Metric.withAttributes(cache, { result: "hit" }),
  miss: Metric.withAttributes(cache, { result: "miss" })
}

/** An identity as a subject of access reviews. `key` is unique for a user and a set of groups. */
interface Subject extends AccessSubject {
  readonly key: string
}

const isReserved = (name: string): boolean => name.startsWith("system:")

const matches = (pattern: string, name: string): boolean =>
  pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern

/**
 * The subject for an identity; `undefined` if a name in its certificate begins with `system:`, or a group matches one of
 * `denied`. Kubernetes and its providers reserve those names, such as `system:masters` and `kubeadm:cluster-admins`, which
 * may do everything. The authority that issues this service's client certificates need not be the one that the cluster
 * trusts with them.
 */
const subjectOf = (identity: Identity, denied: ReadonlyArray<string>): Subject | undefined => {
  const isDenied = (group: string) => isReserved(group) || denied.some((pattern) => matches(pattern, group))
  if (isReserved(identity.user) || identity.groups.some(isDenied)) return undefined
  // kube-apiserver adds this group to every authenticated user.
  const groups = [...new Set([...identity.groups, "system:authenticated"])].sort()
  return {
    user: identity.user,
    groups,
    // Names can be long and contain any character. JSON separates them, the digest bounds the key.
    key: createHash("sha256")
      .update(JSON.stringify([identity.user, groups]))
      .digest("base64")
  }
}

/** The cache key of an access, unique for each review: no name contains a slash. */
const keyOf = (access: Access): string => {
  switch (access.resource) {
    case "namespaces":
      return "namespaces"
    case "metrics":
      return "metrics"
    case "deployments":
      return `list/${access.namespace}`
    case "replica_count":
      return `${access.verb}/${access.namespace}/${access.deployment}`
  }
}

/** An access as Kubernetes RBAC attributes. */
export const clusterAccess = (access: Access): ResourceAccess | PathAccess => {
  switch (access.resource) {
    case "namespaces":
      return { verb: "list", group: "", resource: "namespaces" }
    case "metrics":
      return { verb: "get", path: "/metrics" }
    case "deployments":
      return {
        verb: "list",
        group: "apps",
        resource: "deployments",
        ...(access.namespace === "ANY" ? {} : { namespace: access.namespace })
      }
    case "replica_count":
      return {
        verb: access.verb === "set" ? "update" : "get",
        group: "apps",
        resource: "deployments",
        subresource: "scale",
        ...(access.namespace === "ANY" ? {} : { namespace: access.namespace }),
        ...(access.deployment === "ANY" ? {} : { name: access.deployment })
      }
  }
}

const make = Effect.fnUntraced(function* (settings: ClusterAuthorizationSettings) {
  const reviewer = yield* AccessReviewer
  const services = yield* Effect.context<never>()
  const turns = yield* PartitionedSemaphore.make<string>({ permits: maxConcurrentReviews })
  const pending = yield* FiberMap.make<string, boolean, ClusterUnavailable>()
  const start = yield* FiberMap.runtime(pending)<never>()
  const pendingOf = new Map<string, number>()
  const allowMillis = Duration.toMillis(settings.authorizationCacheAllow)
  const denyMillis = Duration.toMillis(settings.authorizationCacheDeny)

  const subjects = new WeakMap<Identity, Subject | "reserved">()
  // Separate caches, because anybody can make up any number of denied accesses, which must not evict an allow.
  const allows = KeptAnswers.make(settings.authorizationCacheSize)
  const denies = KeptAnswers.make(settings.authorizationCacheSize)

  const keep = (subject: Subject, key: string, allowed: boolean, now: number): void => {
    const [answers, others, millis] = allowed ? [allows, denies, allowMillis] : [denies, allows, denyMillis]
    // An opposite answer has expired, but would be valid again if the clock were set back.
    others.drop(key)
    if (millis > 0) answers.keep(subject.key, key, now + millis)
  }

  const leave = (subject: Subject): void => {
    const others = (pendingOf.get(subject.key) ?? 1) - 1
    if (others === 0) pendingOf.delete(subject.key)
    else pendingOf.set(subject.key, others)
  }

  const review = (
    key: string,
    subject: Subject,
    question: AccessQuestion
  ): Effect.Effect<boolean, ClusterUnavailable> =>
    turns
      .withPermit(subject.key)(reviewer.review(question))
      .pipe(
        Effect.timeoutOrElse({ duration: reviewTimeout, orElse: () => Effect.fail(noAnswer) }),
        Effect.tap((allowed) =>
          Effect.clockWith((clock) => {
            keep(subject, key, allowed, clock.currentTimeMillisUnsafe())
            return Metric.update(allowed ? outcomes.allowed : outcomes.denied, 1)
          })
        ),
        Effect.tapError(() => Metric.update(outcomes.failed, 1)),
        Effect.ensuring(Effect.sync(() => leave(subject)))
      )

  /** Reviews in a fiber of its own: concurrent callers share it, and an interrupted caller does not interrupt it. */
  const ask = (key: string, subject: Subject, access: Access): Effect.Effect<boolean, ClusterUnavailable> =>
    Effect.flatMap(FiberMap.size(pending), (waiting) => {
      const asked = FiberMap.getUnsafe(pending, key)
      if (Option.isSome(asked)) return Fiber.join(asked.value)
      const own = pendingOf.get(subject.key) ?? 0
      if (waiting >= maxPendingReviews || own >= maxPendingReviewsOfOne) return Effect.fail(tooMany)
      pendingOf.set(subject.key, own + 1)
      const { groups, user } = subject
      return Fiber.join(start(key, review(key, subject, { subject: { user, groups }, access: clusterAccess(access) })))
    })

  const refuse = (identity: Identity, access: Access) => Effect.fail(refused(identity, access))

  const refuseReserved = (identity: Identity, access: Access) => {
    if (subjects.has(identity)) return refuse(identity, access)
    subjects.set(identity, "reserved")
    return Effect.andThen(
      Effect.logWarning(
        "Denying a client whose certificate names a user or group that Kubernetes reserves (system:*, AUTHORIZATION_DENIED_GROUPS)"
      ).pipe(
        Effect.annotateLogs({ user: identity.user, groups: identity.groups, serialNumber: identity.serialNumber })
      ),
      refuse(identity, access)
    )
  }

  return Authorization.of({
    // RBAC cannot require a precondition.
    requiresIfMatch: () => false,
    alreadyAllows: (identity, access, nowMillis) => {
      const subject = subjects.get(identity)
      if (subject === undefined || subject === "reserved") return false
      if (!allows.holds(`${subject.key}${keyOf(access)}`, nowMillis)) return false
      lookups.hit.updateUnsafe(1, services)
      return true
    },
    check: (identity, access) =>
      Effect.clockWith((clock) => {
        const subject = subjects.get(identity) ?? subjectOf(identity, settings.authorizationDeniedGroups)
        if (subject === undefined || subject === "reserved") return refuseReserved(identity, access)
        subjects.set(identity, subject)
        const key = `${subject.key}${keyOf(access)}`
        const now = clock.currentTimeMillisUnsafe()
        const allowed = allows.holds(key, now)
        if (allowed || denies.holds(key, now)) {
          lookups.hit.updateUnsafe(1, services)
          return allowed ? Effect.void : refuse(identity, access)
        }
        lookups.miss.updateUnsafe(1, services)
        return Effect.flatMap(ask(key, subject, access), (allowed) =>
          allowed ? Effect.void : refuse(identity, access)
        )
      })
  })
})

/**
 * Authorizes by the cluster's RBAC: an `AccessReviewer` reviews the certificate's user and groups. Answers are cached as
 * kube-apiserver caches those of its webhook authorizer, so that most reads do not reach the cluster. A failed review is
 * not cached, and fails the check with `ClusterUnavailable`. Subjects are served in turn, and none can fill the cache or
 * the queue.
 */
export const layer = (settings: ClusterAuthorizationSettings): Layer.Layer<Authorization, never, AccessReviewer> =>
  Layer.effect(Authorization, make(settings))
