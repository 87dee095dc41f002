import { Context, Effect, Layer, Metric, Result, Stream, SubscriptionRef } from "effect"
import { type FileReloadOptions, reloading } from "../settings/FileReload.ts"
import * as Tls from "./Tls.ts"

/** Changes of the TLS files, by what became of them. */
export const tlsReloads = Metric.counter("tls_reloads_total", {
  description: "Changes of the TLS files, by outcome: accepted, or refused while the files before stay in use.",
  incremental: true
})

const counted = (outcome: "accepted" | "refused") => Metric.withAttributes(tlsReloads, { outcome })

/**
 * The TLS files as they are used now. They are followed for as long as the layer is: what they become is taken whole, or
 * refused whole where anything is wrong with it, and then what was stays.
 *
 * - `current`: what holds now; a plain function, for each request asks.
 * - `changes`: what holds now, then whatever takes its place.
 */
export class ServerTls extends Context.Service<
  ServerTls,
  { readonly current: () => Tls.TlsMaterial; readonly changes: Stream.Stream<Tls.TlsMaterial> }
>()("kube-resource-api/identity/ServerTls") {
  /** The files that the settings name. Fails with a `SettingError` where the first ones cannot be used. */
  static readonly layer = (settings: Tls.TlsSettings, options: FileReloadOptions = {}) =>
    Layer.effect(
      ServerTls,
      Effect.gen(function* () {
        const { tlsCertFile, tlsClientCaFile, tlsCrlFile, tlsKeyFile } = settings
        let previous: Tls.TlsMaterial | undefined
        const { first, later } = yield* reloading(
          [tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsCrlFile].filter((path) => path !== undefined),
          Effect.tap(
            Effect.suspend(() => Tls.load(settings, previous)),
            (material) => Effect.sync(() => (previous = material))
          ),
          options
        )
        const inUse = yield* SubscriptionRef.make<Tls.TlsMaterial>(first)
        yield* Effect.forEach(["accepted", "refused"] as const, (outcome) => Metric.update(counted(outcome), 0))
        const take = (material: Tls.TlsMaterial) =>
          Metric.update(counted("accepted"), 1).pipe(
            Effect.andThen(SubscriptionRef.set(inUse, material)),
            Effect.andThen(Effect.logInfo("The TLS files have changed and are in use")),
            Effect.annotateLogs({ certificateExpires: new Date(material.expiresAt).toISOString() })
          )
        yield* Effect.forkScoped(
          Stream.runForEach(later, (loaded) =>
            Result.match(loaded, {
              onSuccess: take,
              onFailure: (error) =>
                Effect.andThen(
                  Metric.update(counted("refused"), 1),
                  Effect.logError(
                    `The TLS files have changed and cannot be used; those before stay in use: ${error.message}`
                  )
                )
            })
          )
        )
        return { current: () => SubscriptionRef.getUnsafe(inUse), changes: SubscriptionRef.changes(inUse) }
      })
    )
}
