import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Stream } from "effect"
import { ClusterCache } from "../../src/cache/ClusterCache.ts"
import { KubeApi } from "../../src/kube/KubeApi.ts"
import * as KubeWatch from "../../src/kube/KubeWatch.ts"

const broken = () => Effect.die(new Error("a defect in a fiber"))

/** An API where every call is a defect, which the informer does not handle. */
const brokenApi = Layer.succeed(KubeApi, {
  listPage: broken,
  watch: () => Stream.die(new Error("a defect in a fiber")),
  getNamespace: broken,
  getNamespaceUid: broken,
  scale: broken,
  getScale: broken,
  accessReview: broken,
  createEvent: broken
})

describe("crash-only", () => {
  it.live("a defect in the fiber of an informer fails the cache and thereby the process", () =>
    Effect.gen(function* () {
      const cache = yield* ClusterCache
      const exit = yield* Effect.exit(cache.failed)
      assert.isTrue(Exit.isFailure(exit))
      if (Exit.isFailure(exit)) assert.include(Cause.pretty(exit.cause), "a defect in a fiber")
    }).pipe(
      Effect.provide(
        Layer.unwrap(Effect.map(KubeWatch.KubeWatch, ({ events }) => ClusterCache.layer(events))).pipe(
          Layer.provide(KubeWatch.layer),
          Layer.provide(brokenApi)
        )
      )
    )
  )
})
