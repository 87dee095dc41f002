/** Determines the identity of the configured cluster. */
import { type Duration, Effect, Latch, Layer, Option, Ref } from "effect"
import { createHash } from "node:crypto"
import { NamespaceName } from "../contract/Names.ts"
import { ClusterIdentity, describe, type Identity } from "../model/ClusterIdentity.ts"
import * as Backoff from "../retry/Backoff.ts"
import { KubeApi } from "./KubeApi.ts"
import { KubeConfig, type KubeConfigError } from "./KubeConfig.ts"
import type { KubeError } from "./KubeErrors.ts"

/** Options of the requests. */
export interface KubeClusterIdentityOptions {
  /** Whether to get the namespace `kube-system`, which a Role cannot permit. Default: yes. */
  readonly readsUid?: boolean | undefined
  /** The first and the longest wait after a failed request. Default: 0.8 and 30 seconds. */
  readonly backoffFirst?: Duration.Input | undefined
  readonly backoffLongest?: Duration.Input | undefined
}

/** Every cluster has it, and it cannot be deleted. */
const kubeSystem = NamespaceName.make("kube-system")

const certificate = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g

/** Hashes an address and its CA certificates. The address alone does not suffice: in pods, most clusters have the same one. */
export const endpointOf = (server: string, authority: string | undefined): string => {
  const bodies = Array.from((authority ?? "").matchAll(certificate), ([, body = ""]) => body.replaceAll(/\s/g, ""))
  const texts = [new URL(server).href, ...[...new Set(bodies)].toSorted()]
  return createHash("sha256").update(texts.join("\n")).digest("hex").slice(0, 32)
}

const make = Effect.fnUntraced(function* (options: KubeClusterIdentityOptions) {
  const config = yield* KubeConfig
  const endpoint = endpointOf(config.server, yield* config.authority)
  const known = yield* Ref.make<Identity>({ endpoint })
  const attempted = yield* Latch.make(false)
  const answered = yield* Latch.make(false)
  const settle = Effect.fnUntraced(function* (uid: string | undefined) {
    if (uid !== undefined) yield* Ref.set(known, { uid, endpoint })
    yield* Effect.logDebug("Identified the cluster").pipe(
      Effect.annotateLogs({ cluster: describe(yield* Ref.get(known)) })
    )
    yield* Effect.all([answered.open, attempted.open])
  })
  yield* options.readsUid === false
    ? settle(undefined)
    : Effect.forkScoped(Effect.flatMap(ask(options, attempted.open), settle))
  return {
    current: Effect.andThen(attempted.await, Ref.get(known)),
    determined: Effect.andThen(answered.await, Ref.get(known))
  }
})

/** The UID; undefined if it is denied or absent. Retries other failures. */
const ask = Effect.fnUntraced(function* (options: KubeClusterIdentityOptions, failed: Effect.Effect<unknown>) {
  const api = yield* KubeApi
  const backoff = yield* Backoff.make(options.backoffFirst ?? "800 millis", options.backoffLongest ?? "30 seconds")
  let isRepeated = false
  const retry = Effect.fnUntraced(function* (error: KubeError) {
    if (isDenied(error)) return Option.some(yield* unrevealed(error.message))
    yield* Effect.logWithLevel(isRepeated ? "Debug" : "Warn")("Cannot identify the cluster: retrying").pipe(
      Effect.annotateLogs({ error: error.message })
    )
    isRepeated = true
    yield* failed
    yield* backoff.wait(error._tag === "KubeStatusError" ? error.retryAfter : undefined)
    return Option.none()
  })
  while (true) {
    const answer = yield* Effect.matchEffect(api.getNamespaceUid(kubeSystem), {
      onFailure: retry,
      onSuccess: Option.match({
        onNone: () => Effect.map(unrevealed("there is no such namespace"), Option.some),
        onSome: (uid) => Effect.succeedSome<string | undefined>(uid)
      })
    })
    if (Option.isSome(answer)) return answer.value
  }
})

const isDenied = (error: KubeError) => error._tag === "KubeStatusError" && error.code === 403

const unrevealed = (reason: string) =>
  Effect.logWarning("Cannot get the namespace kube-system: address and CA alone identify the cluster").pipe(
    Effect.annotateLogs({ reason }),
    Effect.as(undefined)
  )

/** Asks the cluster in the background until it answers. */
export const layer = (
  options: KubeClusterIdentityOptions = {}
): Layer.Layer<ClusterIdentity, KubeConfigError, KubeApi | KubeConfig> => Layer.effect(ClusterIdentity, make(options))
