import * as AgeQueue from "./AgeQueue.ts"

/** Why there is no room for a new connection: as many as there may be, in total or from its address. */
export type Full = "total" | "address"

/**
 * Connections by what they are worth, each queue in the order of when they last achieved something: `strangers` are those
 * in their handshake and those of clients who are not identified, `answered` those on which a request is being answered.
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

/** An open connection. `unanswered`: its requests whose answers have not left yet. */
export class Connection<S> {
  readonly socket: S
  readonly origin: Origin<S>
  readonly amongAll: AgeQueue.Place<Connection<S>>
  readonly amongOrigin: AgeQueue.Place<Connection<S>>
  open = true
  identified = false
  unanswered = 0
  /** When it last achieved something, in milliseconds of the table's clock. */
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

/** Which connection has to go for a new one: never one on which an identified client is being answered. */
const leastWorth = <S>({ strangers, strangersAnswered, identified }: Standing<S>): Connection<S> | undefined =>
  (strangers.oldest ?? strangersAnswered.oldest ?? identified.oldest)?.item

/**
 * Which connections are open, and which has to go where there are as many as there may be. Every step is done in constant
 * time, however many there are.
 */
export interface ConnectionTable<S> {
  /** Takes in a connection from an address, for which another may have to go; or says why it cannot. */
  readonly admit: (socket: S, address: string) => Connection<S> | Full
  /** The client has shown a valid certificate. */
  readonly identify: (connection: Connection<S>) => void
  /** A request has come. */
  readonly received: (connection: Connection<S>) => void
  /** A request's answer has left. */
  readonly answered: (connection: Connection<S>) => void
  /** Takes a connection out; whether it was in. */
  readonly remove: (connection: Connection<S>) => boolean
  /** Of one kind, the connection that has achieved nothing for the longest. */
  readonly oldest: (kind: Kind) => Connection<S> | undefined
  readonly count: () => number
  /** How many addresses they come from. */
  readonly addresses: () => number
}

/**
 * An empty table. `evict` is told of each connection that has to go, which is out of the table by then. `now`: the time in
 * milliseconds.
 */
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

  /** Whether there is room for one more, made by ending another where it must be. */
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
      // The one that had to go may have been the last of the same address.
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
