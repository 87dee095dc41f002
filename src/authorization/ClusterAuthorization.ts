import { Duration, Effect, Fiber, FiberMap, Layer, Metric, Option, PartitionedSemaphore } from "effect"
import { createHash } from "node:crypto"
import {
  AccessReviewer,
  type AccessQuestion,
  type AccessSubject,
  type PathAccess,
  type ResourceAccess
} from "../model/AccessReviewer.ts"
import { ClusterUnavailable } from "../contract/Problems.ts"
import { type Access, Authorization, refused } from "./Authorization.ts"
import type { Identity } from "../identity/Identity.ts"
import * as KeptAnswers from "./KeptAnswers.ts"

/** How long and how many of the cluster's answers of either kind are kept; the words are those of the settings. */
export interface ClusterAuthorizationSettings {
  readonly authorizationCacheAllow: Duration.Duration
  readonly authorizationCacheDeny: Duration.Duration
  readonly authorizationCacheSize: number
}

/** How many questions the cluster is asked at once; the others wait their turn. */
export const maxConcurrentReviews = 32

/** How many questions may be asked or wait at once; beyond it a caller is told at once to try again. */
export const maxPendingReviews = 1024

/** How many of them may be one subject's, so that one with many leaves places for the others. */
export const maxPendingReviewsOfOne = maxPendingReviews / 2

/** How long a caller waits for the cluster's answer, its turn included. */
const patience = Duration.seconds(5)

const noAnswer = new ClusterUnavailable({
  detail: "The cluster decides what callers may do, and did not answer in time."
})

const tooMany = new ClusterUnavailable({
  detail: "The cluster decides what callers may do, and too many questions wait for its answer."
})

/** Questions to the cluster what callers may do, by outcome: allowed, denied or failed. */
export const accessReviews = Metric.counter("access_reviews_total", {
  description: "Questions to the cluster what callers may do, by outcome: allowed, denied or failed.",
  incremental: true
})
const outcomes = {
  allowed: Metric.withAttributes(accessReviews, { outcome: "allowed" }),
  denied: Metric.withAttributes(accessReviews, { outcome: "denied" }),
  failed: Metric.withAttributes(accessReviews, { outcome: "failed" })
}

/** Decisions that the cluster need not be asked for, and those that it is. */
const cache = Metric.counter("access_review_cache_total", {
  description: "Decisions by the cluster's RBAC, by whether its answer was kept from before: hit or miss.",
  incremental: true
})
const lookups = {
  hit: Metric.withAttributes(cache, { result: "hit" }),
  miss: Metric.withAttributes(cache, { result: "miss" })
}

/** An identity as the cluster is asked about it. `key`: the same for the same user and groups, and for no others. */
interface Subject extends AccessSubject {
  readonly key: string
}

const isReserved = (name: string): boolean => name.startsWith("system:")

/**
 * The subject for an identity; `undefined` where its certificate claims a name that begins with `system:`. Those are
 * Kubernetes' own, such as `system:masters`, who may do everything: the authority that signs this service's clients need
 * not be the one that the cluster trusts with them.
 */
const subjectOf = (identity: Identity): Subject | undefined => {
  if (isReserved(identity.user) || identity.groups.some(isReserved)) return undefined
  // kube-apiserver adds this group to every user that it has authenticated.
  const groups = [...new Set([...identity.groups, "system:authenticated"])].sort()
  return {
    user: identity.user,
    groups,
    // Names may hold any character and be long: JSON keeps them apart, the digest keeps the keys short.
    key: createHash("sha256")
      .update(JSON.stringify([identity.user, groups]))
      .digest("base64")
  }
}

/** No two accesses that the cluster is asked about differently have the same key: neither names nor `ANY` hold a slash. */
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

/** An access in the cluster's words. */
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
  // Apart, so that no denied question, of which anybody can make up any number, takes the place of an allow.
  const allows = KeptAnswers.make(settings.authorizationCacheSize)
  const denies = KeptAnswers.make(settings.authorizationCacheSize)

  const keep = (subject: Subject, key: string, allowed: boolean, now: number): void => {
    const [answers, others, millis] = allowed ? [allows, denies, allowMillis] : [denies, allows, denyMillis]
    // If it was answered otherwise before, that time is over; but the clock may be set back.
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
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(noAnswer) }),
        Effect.tap((allowed) =>
          Effect.clockWith((clock) => {
            keep(subject, key, allowed, clock.currentTimeMillisUnsafe())
            return Metric.update(allowed ? outcomes.allowed : outcomes.denied, 1)
          })
        ),
        Effect.tapError(() => Metric.update(outcomes.failed, 1)),
        Effect.ensuring(Effect.sync(() => leave(subject)))
      )

  /** Asks in a fiber of its own: whoever asks the same meanwhile waits for the same answer, and no caller's end ends it. */
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
        "A client's certificate names a user or group that begins with system:, which is Kubernetes' own; it may do nothing"
      ).pipe(Effect.annotateLogs({ user: identity.user, serialNumber: identity.serialNumber })),
      refuse(identity, access)
    )
  }

  return Authorization.of({
    alreadyAllows: (identity, access, nowMillis) => {
      const subject = subjects.get(identity)
      if (subject === undefined || subject === "reserved") return false
      if (!allows.holds(`${subject.key}${keyOf(access)}`, nowMillis)) return false
      lookups.hit.updateUnsafe(1, services)
      return true
    },
    check: (identity, access) =>
      Effect.clockWith((clock) => {
        const subject = subjects.get(identity) ?? subjectOf(identity)
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
 * The cluster's own RBAC decides, by what an `AccessReviewer` says of the certificate's user and groups. Answers are kept
 * as kube-apiserver keeps those of its webhook authorizer, so reads do not each reach the cluster; failures are not kept,
 * and fail the check with `ClusterUnavailable`. Where the cluster is away, an answer holds until its time is over.
 * Subjects take turns to be asked about, and none can use up what is kept or may wait.
 */
export const layer = (settings: ClusterAuthorizationSettings): Layer.Layer<Authorization, never, AccessReviewer> =>
  Layer.effect(Authorization, make(settings))
