import { Context, Effect, Layer, Metric, type Stream, SubscriptionRef } from "effect"
import { applyLater, type FileReloadOptions, reloading } from "../settings/FileReload.ts"
import * as Tls from "./Tls.ts"

/** Changes of the TLS files, by outcome. */
export const tlsReloads = Metric.counter("tls_reloads_total", {
  description: "Changes of the TLS files, by outcome: accepted, or refused while the previous files stay in use.",
  incremental: true
})

/**
 * The TLS files in use. They are watched while the layer lives. A change is accepted as a whole, or refused as a whole if
 * anything is wrong with it; then the previous files stay in use.
 *
 * - `current` gives the files in use. It is a plain function, because each request calls it.
 * - `changes` emits the files in use, then each change.
 */
export class ServerTls extends Context.Service<
  ServerTls,
  { readonly current: () => Tls.TlsMaterial; readonly changes: Stream.Stream<Tls.TlsMaterial> }
>()("kube-resource-api/identity/ServerTls") {
  /** Uses the files that the settings name. Fails with a `SettingError` if they cannot be used at the start. */
  static readonly layer = (settings: Tls.TlsSettings, options: FileReloadOptions = {}) =>
    Layer.effect(
      ServerTls,
      Effect.gen(function* () {
        const { tlsCertFile, tlsClientCaFile, tlsCrlFile, tlsKeyFile } = settings
        let previous: Tls.TlsMaterial | undefined
        const reloaded = yield* reloading(
          [tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsCrlFile].filter((path) => path !== undefined),
          Effect.tap(
            Effect.suspend(() => Tls.load(settings, previous)),
            (material) => Effect.sync(() => (previous = material))
          ),
          options
        )
        const inUse = yield* SubscriptionRef.make<Tls.TlsMaterial>(reloaded.first)
        yield* applyLater(reloaded, tlsReloads, {
          accepted: (material) =>
            SubscriptionRef.set(inUse, material).pipe(
              Effect.andThen(Effect.logInfo("The TLS files have changed and are in use")),
              Effect.annotateLogs({ certificateExpires: new Date(material.expiresAt).toISOString() })
            ),
          refused: (error) =>
            Effect.logError(
              `The TLS files have changed and cannot be used; the previous files stay in use: ${error.message}`
            )
        })
        return { current: () => SubscriptionRef.getUnsafe(inUse), changes: SubscriptionRef.changes(inUse) }
      })
    )
}
