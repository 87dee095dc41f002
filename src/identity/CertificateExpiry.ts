import { Clock, Duration, Effect, Layer, Metric, Schedule, Stream } from "effect"
import { ServerTls } from "./ServerTls.ts"
import type { Expiry } from "./Tls.ts"

/** When the first certificate, or revocation list, of each TLS file expires, in seconds since the epoch. */
export const certificateExpiry = Metric.gauge("tls_certificate_expiry_timestamp_seconds", {
  description: "When the first certificate, or revocation list, of each TLS file expires, in seconds since the epoch."
})

/** How long before an expiry it is warned of. */
export interface ExpirySettings {
  readonly tlsExpiryWarning: Duration.Duration
}

const checkEvery = Duration.hours(1)
const warnEvery = Duration.toMillis(Duration.days(1))

/** How much of its time a short-lived certificate has left when it is warned of, at the most. */
const lastPart = 1 / 4

const isNear = ({ expiresAt, since }: Expiry, warning: Duration.Duration, now: number): boolean =>
  expiresAt - now < Math.min(Duration.toMillis(warning), (expiresAt - since) * lastPart) || expiresAt <= now

const consequences = {
  server: "clients will refuse the server",
  client_ca: "its clients will no longer be identified",
  crl: "no client of its authority will be identified until there is a newer list"
} as const satisfies Record<Expiry["file"], string>

const warn = ({ expiresAt, file, path, setting }: Expiry, now: number) =>
  Effect.logWarning(
    expiresAt <= now
      ? `${setting}=${path}: it has expired: ${consequences[file]}`
      : `${setting}=${path}: it expires soon; then ${consequences[file]}`
  ).pipe(Effect.annotateLogs({ expires: new Date(expiresAt).toISOString(), file }))

/**
 * Shows when the TLS files expire, as a gauge, and warns in the log, once a day for each file, when one of them is near
 * it: within the setting's time, or in the last quarter of its own where that is shorter.
 */
export const layer = (settings: ExpirySettings) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { changes, current } = yield* ServerTls
      const warned = new Map<Expiry["file"], { readonly expiresAt: number; readonly at: number }>()
      const check = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        for (const expiry of current().expiries) {
          yield* Metric.update(Metric.withAttributes(certificateExpiry, { file: expiry.file }), expiry.expiresAt / 1000)
          if (!isNear(expiry, settings.tlsExpiryWarning, now)) continue
          const last = warned.get(expiry.file)
          if (last?.expiresAt === expiry.expiresAt && now - last.at < warnEvery) continue
          warned.set(expiry.file, { expiresAt: expiry.expiresAt, at: now })
          yield* warn(expiry, now)
        }
      })
      yield* Stream.merge(changes, Stream.fromSchedule(Schedule.spaced(checkEvery))).pipe(
        Stream.runForEach(() => check),
        Effect.forkScoped
      )
    })
  )
