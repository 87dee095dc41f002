import { Effect, Metric } from "effect"
import { probePaths } from "../contract/Api.ts"
import * as Metrics from "../observability/Metrics.ts"

const shedSeries = (identified: boolean) =>
  Metric.counter("requests_shed_total", {
    description:
      "Requests refused with 503 because too many were being answered, by whether the client presented a valid certificate.",
    incremental: true,
    attributes: { identified: String(identified) }
  })

const isProbe = (target: string): boolean =>
  probePaths.some((path) => target.startsWith(path) && (target.length === path.length || target[path.length] === "?"))

/** One client's in-flight share, across all its connections: its limit and the requests in flight. */
export interface Share {
  readonly user: string | undefined
  readonly maximum: number
  connections: number
  taken: number
}

/** The places for requests in flight. A request holds its place until its response has left. */
export interface InFlight {
  /**
   * The share of a connection's user, whichever certificates the user has. All unidentified clients (`undefined`) have
   * one share together. `leave` gives it back.
   */
  readonly join: (user: string | undefined) => Share
  readonly leave: (share: Share) => void
  /**
   * Takes a place for a request; `release` gives it back. A probe takes none and is always admitted: a busy instance must
   * not be restarted for being busy.
   */
  readonly admit: (target: string, share: Share) => "counted" | "exempt" | "shed"
  readonly release: (requests: number, share: Share) => void
}

/** A user may take half of the places, so that one that reads responses slowly leaves places to others. */
const userPart = 2

/**
 * Clients without a valid certificate may take a sixteenth: apart from probes, which take no places, they only get
 * errors. The event loop should spend its turns on other clients.
 */
const unidentifiedPart = 16

/** At most `maximum` requests in flight. */
export const make = Effect.fnUntraced(function* (maximum: number) {
  const services = yield* Effect.context<never>()
  const shedIdentified = shedSeries(true)
  const shedUnidentified = shedSeries(false)
  for (const series of [shedIdentified, shedUnidentified]) series.updateUnsafe(0, services)
  const unidentified: Share = {
    user: undefined,
    maximum: Math.ceil(maximum / unidentifiedPart),
    connections: 0,
    taken: 0
  }
  const users = new Map<string, Share>()
  let taken = 0
  yield* Metrics.gauge(
    {
      name: "requests_in_flight",
      description: "Requests that hold one of the MAX_IN_FLIGHT places, until their response has left; without probes."
    },
    () => taken
  )
  return {
    join: (user) => {
      const known = user === undefined ? unidentified : users.get(user)
      const share = known ?? { user, maximum: Math.ceil(maximum / userPart), connections: 0, taken: 0 }
      if (user !== undefined) users.set(user, share)
      share.connections++
      return share
    },
    leave: (share) => {
      share.connections--
      if (share.connections === 0 && share.user !== undefined) users.delete(share.user)
    },
    admit: (target, share) => {
      if (isProbe(target)) return "exempt"
      if (taken >= maximum || share.taken >= share.maximum) {
        const series = share === unidentified ? shedUnidentified : shedIdentified
        series.updateUnsafe(1, services)
        return "shed"
      }
      taken++
      share.taken++
      return "counted"
    },
    release: (requests, share) => {
      taken -= requests
      share.taken -= requests
    }
  } satisfies InFlight
})
