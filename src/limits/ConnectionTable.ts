import * as AgeQueue from "./AgeQueue.ts"

/** The limit that a new connection would exceed: the total, or that of its address or its user. */
export type Full = "total" | "address" | "user"

/**
 * Connections by usefulness. Each queue is ordered by the last progress. `silent`: without a complete ClientHello.
 * `handshakes`: the handshake goes on. `strangers`: of unidentified clients. `…Answered`: with a request in progress.
 * `identifiedHeld`: with a response that waits for changes. These have their own limits and are not evicted.
 */
interface Standing<S> {
  readonly silent: AgeQueue.AgeQueue<Connection<S>>
  readonly handshakes: AgeQueue.AgeQueue<Connection<S>>
  readonly strangers: AgeQueue.AgeQueue<Connection<S>>
  readonly strangersAnswered: AgeQueue.AgeQueue<Connection<S>>
  readonly identified: AgeQueue.AgeQueue<Connection<S>>
  readonly identifiedAnswered: AgeQueue.AgeQueue<Connection<S>>
  readonly identifiedHeld: AgeQueue.AgeQueue<Connection<S>>
}

/** Connections with a common limit: all, those from one address, or those of one user. */
interface Group<S> {
  readonly key: string
  readonly standing: Standing<S>
  open: number
}

const group = <S>(key: string): Group<S> => ({
  key,
  standing: {
    silent: AgeQueue.make(),
    handshakes: AgeQueue.make(),
    strangers: AgeQueue.make(),
    strangersAnswered: AgeQueue.make(),
    identified: AgeQueue.make(),
    identifiedAnswered: AgeQueue.make(),
    identifiedHeld: AgeQueue.make()
  },
  open: 0
})

/** An open connection. `unanswered`: its requests whose responses have not left yet. */
export class Connection<S> {
  readonly socket: S
  readonly origin: Group<S>
  /** The group of its user, once identified. */
  owner: Group<S> | undefined
  readonly amongAll: AgeQueue.Place<Connection<S>>
  readonly amongOrigin: AgeQueue.Place<Connection<S>>
  readonly amongOwned: AgeQueue.Place<Connection<S>>
  open = true
  stage: "silent" | "handshakes" | "strangers" | "identified" = "silent"
  unanswered = 0
  /** Whether its response waits for changes. */
  held = false
  /** Its last progress, in milliseconds of the table's clock. */
  since = 0

  constructor(socket: S, origin: Group<S>) {
    this.socket = socket
    this.origin = origin
    this.amongAll = AgeQueue.place(this)
    this.amongOrigin = AgeQueue.place(this)
    this.amongOwned = AgeQueue.place(this)
  }
}

/** The kinds of connections, by their stage and whether the client is being answered. */
export type Kind = keyof Standing<unknown>

const kindOf = ({ held, stage, unanswered }: Connection<unknown>): Kind => {
  // A client that has not read an earlier response is timed out.
  if (held && stage === "identified" && unanswered === 1) return "identifiedHeld"
  return unanswered === 0 || stage === "silent" || stage === "handshakes" ? stage : `${stage}Answered`
}

/** How a limit is divided. */
interface Quota {
  readonly maximum: number
  /** The maximum number of identified connections. The rest stays free for handshakes and probes, however many users are connected. */
  readonly identified: number
  /**
   * While silent connections, or handshakes, number at most this many, connections of unidentified clients are evicted
   * before them.
   */
  readonly guaranteed: number
}

const quota = (maximum: number): Quota => ({
  maximum,
  identified: maximum - Math.floor(maximum / 8),
  guaranteed: Math.ceil(maximum / 16)
})

/**
 * The connection to evict for a new one: never one on which an identified client is being answered.
 *
 * A client sends its ClientHello within milliseconds, so the oldest silent connection is that of an attacker unless all
 * guaranteed places are taken within that time. A flood of complete handshakes must not take those places either.
 */
const leastWorth = <S>(standing: Standing<S>, { guaranteed }: Quota): Connection<S> | undefined => {
  const { handshakes, identified, silent, strangers, strangersAnswered } = standing
  if (silent.length > guaranteed) return silent.oldest?.item
  if (handshakes.length > guaranteed) return handshakes.oldest?.item
  const least = strangers.oldest ?? strangersAnswered.oldest ?? silent.oldest ?? handshakes.oldest ?? identified.oldest
  return least?.item
}

/** The open connections, and which one to evict at a limit. Every step takes constant time, amortized. */
export interface ConnectionTable<S> {
  /** Adds a connection from an address, evicting another if necessary; returns the limit if there is none to evict. */
  readonly admit: (socket: S, address: string) => Connection<S> | Full
  /**
   * The handshake is complete, with the certificate of `user`. Evicts an idle identified connection if there are too many,
   * first of the same user. Returns the limit if there is none to evict: the caller then removes the connection.
   */
  readonly secure: (connection: Connection<S>, user: string | undefined) => Full | undefined
  /** A request arrived. */
  readonly received: (connection: Connection<S>) => void
  /** A response left. */
  readonly answered: (connection: Connection<S>) => void
  /** Whether the response in progress waits for changes. The connection is not evicted meanwhile. */
  readonly hold: (connection: Connection<S>, held: boolean) => void
  /** Removes a connection; returns whether it was in the table. */
  readonly remove: (connection: Connection<S>) => boolean
  /** The connection of one kind without progress for the longest time. */
  readonly oldest: (kind: Kind) => Connection<S> | undefined
  readonly count: () => number
  /** The number of their addresses. */
  readonly addresses: () => number
}

/** The limits of a table. */
export interface TableLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  readonly maxConnectionsPerUser: number
}

/**
 * An empty table. `greeted` says whether the server has answered the ClientHello of a connection. `evict` receives each
 * evicted connection, already removed. `now`: the time in milliseconds.
 */
export const make = <S>(
  limits: TableLimits,
  greeted: (socket: S) => boolean,
  evict: (connection: Connection<S>, reason: Full) => void,
  now: () => number
): ConnectionTable<S> => {
  const all = group<S>("")
  const origins = new Map<string, Group<S>>()
  const users = new Map<string, Group<S>>()
  const ofAll = quota(limits.maxConnections)
  const ofAddress = quota(limits.maxConnectionsPerAddress)

  const settle = (connection: Connection<S>) => {
    const kind = kindOf(connection)
    connection.since = now()
    AgeQueue.join(all.standing[kind], connection.amongAll)
    AgeQueue.join(connection.origin.standing[kind], connection.amongOrigin)
    if (connection.owner !== undefined) AgeQueue.join(connection.owner.standing[kind], connection.amongOwned)
  }

  const enter = (groups: Map<string, Group<S>>, one: Group<S>) => {
    groups.set(one.key, one)
    one.open++
  }

  const leave = (groups: Map<string, Group<S>>, one: Group<S>) => {
    one.open--
    if (one.open === 0) groups.delete(one.key)
  }

  const remove = (connection: Connection<S>): boolean => {
    if (!connection.open) return false
    connection.open = false
    for (const place of [connection.amongAll, connection.amongOrigin, connection.amongOwned]) AgeQueue.leave(place)
    all.open--
    leave(origins, connection.origin)
    if (connection.owner !== undefined) leave(users, connection.owner)
    return true
  }

  const evicted = (victim: Connection<S> | undefined, reason: Full): boolean => {
    if (victim === undefined) return false
    remove(victim)
    evict(victim, reason)
    return true
  }

  /** Nothing tells the table of a ClientHello, so it looks when the result matters. */
  const settleGreeted = ({ silent }: Standing<S>) => {
    for (let one = silent.oldest?.item; one !== undefined && greeted(one.socket); one = silent.oldest?.item) {
      one.stage = "handshakes"
      settle(one)
    }
  }

  /** Whether there is room for one more, if necessary after an eviction. */
  const makeRoom = ({ open, standing }: Group<S>, limit: Quota, reason: Full): boolean => {
    if (open < limit.maximum) return true
    settleGreeted(standing)
    return evicted(leastWorth(standing, limit), reason)
  }

  /** Whether there is room for one more identified connection, if necessary after an eviction. */
  const makeIdentifiedRoom = ({ standing }: Group<S>, maximum: number, reason: Full): boolean =>
    standing.identified.length + standing.identifiedAnswered.length + standing.identifiedHeld.length < maximum ||
    evicted(standing.identified.oldest?.item, reason)

  return {
    admit: (socket, address) => {
      const known = origins.get(address)
      if (known !== undefined && !makeRoom(known, ofAddress, "address")) return "address"
      if (!makeRoom(all, ofAll, "total")) return "total"
      // The evicted connection may have been the last of the same address.
      const origin = origins.get(address) ?? group<S>(address)
      enter(origins, origin)
      all.open++
      const connection = new Connection(socket, origin)
      settle(connection)
      return connection
    },
    secure: (connection, user) => {
      if (user === undefined) {
        connection.stage = "strangers"
      } else {
        const owner = users.get(user) ?? group<S>(user)
        if (!makeIdentifiedRoom(owner, limits.maxConnectionsPerUser, "user")) return "user"
        if (!makeIdentifiedRoom(connection.origin, ofAddress.identified, "address")) return "address"
        if (!makeIdentifiedRoom(all, ofAll.identified, "total")) return "total"
        enter(users, owner)
        connection.owner = owner
        connection.stage = "identified"
      }
      settle(connection)
      return undefined
    },
    received: (connection) => {
      connection.unanswered++
      if (connection.unanswered === 1) settle(connection)
    },
    answered: (connection) => {
      connection.unanswered--
      settle(connection)
    },
    hold: (connection, held) => {
      connection.held = held
      // That an earlier response is not read stays as old as it is.
      if (connection.unanswered === 1) settle(connection)
    },
    remove,
    oldest: (kind) => all.standing[kind].oldest?.item,
    count: () => all.open,
    addresses: () => origins.size
  }
}
