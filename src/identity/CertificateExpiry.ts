import { Clock, Duration, Effect, Layer, Metric, Schedule, Stream } from "effect"
import type { Settings } from "../settings/Settings.ts"
import { ServerTls } from "./ServerTls.ts"
import type { Expiry } from "./Tls.ts"

/** The first expiry in each TLS file. */
export const certificateExpiry = Metric.gauge("tls_certificate_expiry_timestamp_seconds", {
  description: "The first expiry of a certificate or revocation list in each TLS file, in seconds since the epoch."
})

/** The settings of the warnings. */
export type ExpirySettings = Pick<Settings, "tlsExpiryWarning">

const checkEvery = Duration.hours(1)
const warnEvery = Duration.toMillis(Duration.days(1))

/** A short-lived certificate is near its expiry in this last part of its lifetime. */
const lastPart = 1 / 4

const isNear = ({ expiresAt, since }: Expiry, warning: Duration.Duration, now: number): boolean =>
  expiresAt - now < Math.min(Duration.toMillis(warning), (expiresAt - since) * lastPart) || expiresAt <= now

const consequences = {
  server: "clients will reject the server",
  client_ca: "its clients will no longer be identified",
  crl: "no client of its authority will be identified until there is a newer list"
} as const satisfies Record<Expiry["file"], string>

const warn = ({ expiresAt, file, path, setting }: Expiry, now: number) =>
  Effect.logWarning(
    expiresAt <= now
      ? `${setting}=${path} has expired: ${consequences[file]}`
      : `${setting}=${path} expires soon; then ${consequences[file]}`
  ).pipe(Effect.annotateLogs({ expires: new Date(expiresAt).toISOString(), file }))

/**
 * Publishes the expiry of the TLS files as a gauge. Logs a warning once a day for each file that is near its expiry: within
 * the time of the setting, or in the last quarter of its own lifetime if that is shorter.
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
