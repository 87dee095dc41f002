import { Effect, Metric } from "effect"
import { probePaths } from "../contract/Api.ts"
import * as ObservedMetric from "../observability/ObservedMetric.ts"

const shedSeries = (identified: boolean) =>
  Metric.counter("requests_shed_total", {
    description:
      "Requests refused with 503 because too many were being answered, by whether the client showed a valid certificate.",
    incremental: true,
    attributes: { identified: String(identified) }
  })

const isProbe = (target: string): boolean =>
  probePaths.some((path) => target.startsWith(path) && (target.length === path.length || target[path.length] === "?"))

/** What one client, over all of its connections, may take of the places, and has taken. */
export interface Share {
  readonly subject: string | undefined
  readonly maximum: number
  connections: number
  taken: number
}

/**
 * The requests that are being answered, of which there may be so many at once. A request is being answered until its
 * answer has left.
 */
export interface InFlight {
  /**
   * The share of a connection's client, by the subject of its certificate; all without a valid one (`undefined`) have one
   * together. To be given back with `leave`.
   */
  readonly join: (subject: string | undefined) => Share
  readonly leave: (share: Share) => void
  /**
   * Takes a place for a request that has come, to be given back with `release`. A probe takes none and is always let in:
   * an instance that is busy must not be restarted for it.
   */
  readonly admit: (target: string, share: Share) => "counted" | "exempt" | "shed"
  readonly release: (requests: number, share: Share) => void
}

/** One user may take half of the places, so that the others find some, whatever that one does with its answers. */
const userPart = 2

/**
 * Clients without a valid certificate may take a sixteenth: they have nothing to ask but probes, and however many they are,
 * each turn of the event loop is to be spent on the others mostly.
 */
const unidentifiedPart = 16

/** At most `maximum` requests at once. */
export const make = Effect.fnUntraced(function* (maximum: number) {
  const services = yield* Effect.context<never>()
  const shedIdentified = shedSeries(true)
  const shedUnidentified = shedSeries(false)
  for (const series of [shedIdentified, shedUnidentified]) series.updateUnsafe(0, services)
  const unidentified: Share = {
    subject: undefined,
    maximum: Math.ceil(maximum / unidentifiedPart),
    connections: 0,
    taken: 0
  }
  const users = new Map<string, Share>()
  let taken = 0
  yield* ObservedMetric.gauge(
    {
      name: "requests_in_flight",
      description: "Requests that hold one of the MAX_IN_FLIGHT places: until their answer has left, probes aside."
    },
    () => taken
  )
  return {
    join: (subject) => {
      const known = subject === undefined ? unidentified : users.get(subject)
      const share = known ?? { subject, maximum: Math.ceil(maximum / userPart), connections: 0, taken: 0 }
      if (subject !== undefined) users.set(subject, share)
      share.connections++
      return share
    },
    leave: (share) => {
      share.connections--
      if (share.connections === 0 && share.subject !== undefined) users.delete(share.subject)
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
