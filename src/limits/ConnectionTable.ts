import * as AgeQueue from "./AgeQueue.ts"

/** The limit that a new connection would exceed: the total, or that of its address. */
export type Full = "total" | "address"

/**
 * Connections by usefulness. Each queue is ordered by the last progress. `strangers`: in the handshake, or of
 * unidentified clients. `…Answered`: with a request in progress.
 */
interface Standing<S> {
  readonly strangers: AgeQueue.AgeQueue<Connection<S>>
  readonly strangersAnswered: AgeQueue.AgeQueue<Connection<S>>
  readonly identified: AgeQueue.AgeQueue<Connection<S>>
  readonly identifiedAnswered: AgeQueue.AgeQueue<Connection<S>>
}

const empty = <S>(): Standing<S> => ({
  strangers: AgeQueue.make(),
  strangersAnswered: AgeQueue.make(),
  identified: AgeQueue.make(),
  identifiedAnswered: AgeQueue.make()
})

/** The connections from one address. */
interface Origin<S> {
  readonly address: string
  readonly standing: Standing<S>
  open: number
}

/** An open connection. `unanswered`: its requests whose responses have not left yet. */
export class Connection<S> {
  readonly socket: S
  readonly origin: Origin<S>
  readonly amongAll: AgeQueue.Place<Connection<S>>
  readonly amongOrigin: AgeQueue.Place<Connection<S>>
  open = true
  identified = false
  unanswered = 0
  /** Its last progress, in milliseconds of the table's clock. */
  since = 0

  constructor(socket: S, origin: Origin<S>) {
    this.socket = socket
    this.origin = origin
    this.amongAll = AgeQueue.place(this)
    this.amongOrigin = AgeQueue.place(this)
  }
}

/** The kinds of connections, by whether the client is identified and is being answered. */
export type Kind = keyof Standing<unknown>

const kindOf = ({ identified, unanswered }: Connection<unknown>): Kind =>
  identified
    ? unanswered > 0
      ? "identifiedAnswered"
      : "identified"
    : unanswered > 0
      ? "strangersAnswered"
      : "strangers"

/** The connection to evict for a new one: never one on which an identified client is being answered. */
const leastWorth = <S>({ strangers, strangersAnswered, identified }: Standing<S>): Connection<S> | undefined =>
  (strangers.oldest ?? strangersAnswered.oldest ?? identified.oldest)?.item

/** The open connections, and which one to evict at a limit. Every step takes constant time. */
export interface ConnectionTable<S> {
  /** Adds a connection from an address, evicting another if necessary; returns the limit if there is none to evict. */
  readonly admit: (socket: S, address: string) => Connection<S> | Full
  /** The client presented a valid certificate. */
  readonly identify: (connection: Connection<S>) => void
  /** A request arrived. */
  readonly received: (connection: Connection<S>) => void
  /** A response left. */
  readonly answered: (connection: Connection<S>) => void
  /** Removes a connection; returns whether it was in the table. */
  readonly remove: (connection: Connection<S>) => boolean
  /** The connection of one kind without progress for the longest time. */
  readonly oldest: (kind: Kind) => Connection<S> | undefined
  readonly count: () => number
  /** The number of their addresses. */
  readonly addresses: () => number
}

/** An empty table. `evict` receives each evicted connection, already removed. `now`: the time in milliseconds. */
export const make = <S>(
  limits: { readonly maxConnections: number; readonly maxConnectionsPerAddress: number },
  evict: (connection: Connection<S>, reason: Full) => void,
  now: () => number
): ConnectionTable<S> => {
  const all = empty<S>()
  const origins = new Map<string, Origin<S>>()
  let count = 0

  const settle = (connection: Connection<S>) => {
    const kind = kindOf(connection)
    connection.since = now()
    AgeQueue.join(all[kind], connection.amongAll)
    AgeQueue.join(connection.origin.standing[kind], connection.amongOrigin)
  }

  const remove = (connection: Connection<S>): boolean => {
    if (!connection.open) return false
    connection.open = false
    const { origin } = connection
    AgeQueue.leave(connection.amongAll)
    AgeQueue.leave(connection.amongOrigin)
    count--
    origin.open--
    if (origin.open === 0) origins.delete(origin.address)
    return true
  }

  /** Whether there is room for one more, if necessary after an eviction. */
  const makeRoom = (standing: Standing<S>, present: number, maximum: number, reason: Full): boolean => {
    if (present < maximum) return true
    const victim = leastWorth(standing)
    if (victim === undefined) return false
    remove(victim)
    evict(victim, reason)
    return true
  }

  return {
    admit: (socket, address) => {
      const known = origins.get(address)
      if (known !== undefined && !makeRoom(known.standing, known.open, limits.maxConnectionsPerAddress, "address")) {
        return "address"
      }
      if (!makeRoom(all, count, limits.maxConnections, "total")) return "total"
      // The evicted connection may have been the last of the same address.
      const origin = origins.get(address) ?? { address, standing: empty(), open: 0 }
      origins.set(address, origin)
      origin.open++
      count++
      const connection = new Connection(socket, origin)
      settle(connection)
      return connection
    },
    identify: (connection) => {
      connection.identified = true
      settle(connection)
    },
    received: (connection) => {
      connection.unanswered++
      if (connection.unanswered === 1) settle(connection)
    },
    answered: (connection) => {
      connection.unanswered--
      settle(connection)
    },
    remove,
    oldest: (kind) => all[kind].oldest?.item,
    count: () => count,
    addresses: () => origins.size
  }
}
