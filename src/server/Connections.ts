/**
 * The connection guard: limits the number of open connections, evicts the least useful one at a limit, and ends stalled
 * ones.
 */
import { Clock, Duration, Effect } from "effect"
import * as Metrics from "../observability/Metrics.ts"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Server } from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { TLSSocket } from "node:tls"
import { clientAddress } from "../identity/ClientAddress.ts"
import { ClientIdentity } from "../identity/Identity.ts"
import { type Connection, type ConnectionTable, type Kind, make as makeTable } from "../limits/ConnectionTable.ts"
import * as HandshakeDebts from "../limits/HandshakeDebts.ts"
import type { InFlight, Share } from "../limits/InFlight.ts"
import { isLast, type OrderedResponse } from "./OrderedResponse.ts"
import * as ConnectionCounts from "./ConnectionCounts.ts"
import type { Count, Ending } from "./ConnectionCounts.ts"
import * as ShedResponse from "./ShedResponse.ts"
import { spend } from "./SpentConnection.ts"

/** Limits of a server's connections, named as the settings. */
export interface ConnectionLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** Unset: half of all connections. */
  readonly maxConnectionsPerUser: number | undefined
  readonly maxPipelinedRequests: number
  readonly requestTimeout: Duration.Duration
  readonly responseTimeout: Duration.Duration
  readonly keepAliveTimeout: Duration.Duration
}

/**
 * An open connection: the peer's key, the client's in-flight share (known after the handshake), the places that its
 * requests hold, and the bytes of its handshake that are free or charged.
 */
interface Open {
  readonly raw: Socket
  readonly peer: string
  share: Share | undefined
  counted: number
  chargedBytes: number
  /** The response to its latest request. */
  latest: OrderedResponse<IncomingMessage> | undefined
  /** How to end the response that waits for changes. */
  held: { readonly supersede: () => void } | undefined
}

/** The key of a connection: both of its ends. */
const peerOf = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}`

const idleKinds: ReadonlyArray<Kind> = ["silent", "handshakes", "strangers", "identified"]
const answeredKinds: ReadonlyArray<Kind> = ["strangersAnswered", "identifiedAnswered"]

const shutdownSweepMillis = 200

/** A handshake that takes longer is charged before it ends. */
const slowHandshakeMillis = 500

/** Whether a response means that the client sends too much. */
const isOverload = (status: number): boolean => status === 429 || status === 503

/**
 * Whether a request asks for another protocol. Node's parser then drops the rest of the packet, although
 * `shouldUpgradeCallback` refuses (onParserExecuteCommon in lib/_http_server.js, Node 26). A request in it would get no
 * response, and the next response would be taken for it. So the connection ends with the response to this request.
 */
const asksForUpgrade = ({ headers }: IncomingMessage): boolean =>
  headers.upgrade !== undefined && /\bupgrade\b/i.test(headers.connection ?? "")

/** How long nothing is read from an unidentified client that sent too much. */
const restMillis = 1000

/** Stops reading for a while. A refusal costs as much as a read, and an unidentified client can ask for any number. */
const rest = (socket: Socket): void => {
  if (socket.isPaused()) return
  socket.pause()
  setTimeout(() => socket.resume(), restMillis).unref()
}

/** Node adds this to `keepAliveTimeout`. */
const keepAliveBufferMillis = 1000

/** The addresses whose debts are in memory, some 200 bytes each. */
const maxDebtors = 4096

/** The user of a connection whose handshake is complete; `undefined` for an unidentified client. */
type UserOf = (socket: TLSSocket) => string | undefined

type Shed = Effect.Success<typeof ShedResponse.make>

/** The connections of one server. */
export class Connections {
  // Connections in their handshake, by peer: Node does not link a secured socket to its raw connection.
  private readonly shaking = new Map<string, Connection<Open>>()
  private readonly secured = new WeakMap<Duplex, Connection<Open>>()
  private readonly answered = new WeakSet<Duplex>()
  private readonly debts = HandshakeDebts.make(maxDebtors)
  readonly table: ConnectionTable<Open>
  private readonly limits: ConnectionLimits
  private readonly userOf: UserOf
  private readonly inFlight: InFlight
  private readonly shed: Shed
  private readonly count: Count

  constructor(limits: ConnectionLimits, userOf: UserOf, inFlight: InFlight, shed: Shed, count: Count) {
    this.limits = limits
    this.userOf = userOf
    this.inFlight = inFlight
    this.shed = shed
    this.count = count
    this.table = makeTable<Open>(
      { ...limits, maxConnectionsPerUser: limits.maxConnectionsPerUser ?? Math.ceil(limits.maxConnections / 2) },
      // The server's first bytes are its response to a complete ClientHello. Node has no event for it.
      ({ raw }) => raw.bytesWritten > 0,
      (connection, reason) => {
        this.release(connection)
        count(reason)
      },
      () => performance.now()
    )
  }

  /** Decides about a new connection before its handshake, and destroys a refused one. */
  admit(raw: Socket): boolean {
    // The peer may have disconnected already.
    if (raw.remoteAddress === undefined) {
      raw.destroy()
      return false
    }
    const peer = peerOf(raw)
    const open: Open = {
      raw,
      peer,
      share: undefined,
      counted: 0,
      chargedBytes: HandshakeDebts.freeBytes,
      latest: undefined,
      held: undefined
    }
    const address = clientAddress(raw.remoteAddress)
    const connection = this.debts.refuses(address, performance.now()) ? "untrusted" : this.table.admit(open, address)
    if (typeof connection === "string") {
      this.count(`refused_${connection}`)
      raw.destroy()
      return false
    }
    this.shaking.set(peer, connection)
    raw.once("close", () => this.end(connection))
    return true
  }

  /** Registers a completed handshake, and destroys a connection of a user that has too many. */
  secure(socket: TLSSocket): void {
    const peer = peerOf(socket)
    const connection = this.shaking.get(peer)
    if (connection === undefined) {
      // The peer has disconnected, so the socket has no address any more.
      socket.destroy()
      return
    }
    this.shaking.delete(peer)
    this.secured.set(socket, connection)
    const user = this.userOf(socket)
    const full = this.table.secure(connection, user)
    if (full !== undefined) {
      this.count(`refused_${full}`)
      this.end(connection)
      return
    }
    connection.socket.share = this.inFlight.join(user)
    // A certificate alone is cheap to verify. The misconfigured client that sends it gets 403 and learns why.
    if (!socket.authorized && socket.getPeerX509Certificate()?.issuerCertificate !== undefined) this.charge(connection)
  }

  /**
   * Counts a request as in flight until its response has left. `false`: it was shed, or its connection has ended or ends with
   * an earlier response.
   */
  received(request: IncomingMessage, response: OrderedResponse<IncomingMessage>): boolean {
    const connection = this.secured.get(request.socket)
    const share = connection?.socket.share
    // A further request of the packet for which the connection was ended.
    if (connection?.open !== true || share === undefined) return false
    if (connection.unanswered >= this.limits.maxPipelinedRequests) {
      this.evict(connection, "pipelining")
      spend(request)
      return false
    }
    const { held, latest } = connection.socket
    const isIgnored = latest !== undefined && isLast(latest)
    // Before the wait ends, because its response must not end the connection then.
    if (latest !== undefined && !isIgnored) latest.isFollowed = true
    held?.supersede()
    if (request.socket.destroyed) {
      this.evict(connection, "pipelining")
      spend(request)
      return false
    }
    if (isIgnored) {
      // It will get no response. It counts as unanswered, so that few such requests are in memory.
      this.table.received(connection)
      return false
    }
    connection.socket.latest = response
    const admission = this.inFlight.admit(request.url ?? "", share)
    this.table.received(connection)
    if (admission === "counted") {
      connection.socket.counted++
      response.hasPlace = true
    }
    response.on("finish", () => {
      if (!connection.open) return
      if (connection.socket.latest === response && !isLast(response)) connection.socket.latest = undefined
      this.table.answered(connection)
      if (share.user === undefined && admission !== "exempt" && isOverload(response.statusCode)) rest(request.socket)
      this.leavePlace(connection.socket, share, response)
    })
    if (ShedResponse.announcesBody(request)) this.followBody(request, response)
    if (asksForUpgrade(request)) response.shouldKeepAlive = false
    if (admission === "shed") this.shed(request, response)
    return admission !== "shed"
  }

  /**
   * Marks a response as waiting for changes. It releases its in-flight place. It does not time out until the returned function
   * is called.
   * `supersede` is called if a further request arrives on the connection, because that request would have to wait for this
   * response. Returns `undefined` if one has already arrived.
   */
  hold(response: ServerResponse, supersede: () => void): (() => void) | undefined {
    const connection = this.secured.get(response.req.socket)
    const share = connection?.socket.share
    if (connection?.open !== true || share === undefined) return undefined
    const { latest } = connection.socket
    if (latest === undefined || latest !== response) return undefined
    this.leavePlace(connection.socket, share, latest)
    const held = { supersede }
    connection.socket.held = held
    this.table.hold(connection, true)
    return () => {
      if (connection.socket.held !== held) return
      connection.socket.held = undefined
      if (connection.open) this.table.hold(connection, false)
    }
  }

  /** Whether a request of this connection is being answered. */
  isAnswering(socket: Duplex): boolean {
    return (this.secured.get(socket)?.unanswered ?? 0) > 0
  }

  /** Whether this connection has completed its handshake. */
  isSecured(socket: Duplex): boolean {
    return this.secured.has(socket)
  }

  /** Whether a request was answered before its body had arrived: no further response may be sent on this connection. */
  wasAnswered(socket: Duplex): boolean {
    return this.answered.has(socket)
  }

  /** Ends stalled connections, and charges for slow handshakes. */
  endStalled(): void {
    const requestMillis = Duration.toMillis(this.limits.requestTimeout)
    const responseMillis = Duration.toMillis(this.limits.responseTimeout)
    const keepAliveMillis = Duration.toMillis(this.limits.keepAliveTimeout)
    // The client may have sent its certificate and not complete the handshake.
    const slow = performance.now() - slowHandshakeMillis
    for (const one of this.shaking.values()) if (one.since < slow) this.charge(one)
    // The time limit of serving the request, then that of reading the response.
    this.evictOlder(answeredKinds, requestMillis + responseMillis, "response_timeout")
    // Node's own time limits start anew when a client sends line ends without a request.
    this.evictOlder(idleKinds, keepAliveMillis + keepAliveBufferMillis + requestMillis, "idle")
  }

  /** Ends idle connections repeatedly, and the others after `withinMillis`. Never succeeds. */
  drain(withinMillis: number): Effect.Effect<never> {
    const endAll = (kinds: ReadonlyArray<Kind>) =>
      Effect.sync(() => {
        for (const kind of kinds) {
          for (let one = this.table.oldest(kind); one !== undefined; one = this.table.oldest(kind)) this.end(one)
        }
      })
    const endIdle = Effect.forever(Effect.andThen(endAll(idleKinds), Effect.sleep(shutdownSweepMillis)))
    const endOthers = Effect.delay(endAll([...answeredKinds, "identifiedHeld"]), withinMillis)
    return Effect.andThen(Effect.forkChild(endOthers), endIdle)
  }

  private leavePlace(open: Open, share: Share, response: OrderedResponse<IncomingMessage>): void {
    if (!response.hasPlace) return
    response.hasPlace = false
    open.counted--
    this.inFlight.release(1, share)
  }

  private followBody(request: IncomingMessage, response: ServerResponse): void {
    response.once("finish", () => {
      if (!request.complete) this.answered.add(request.socket)
    })
    request.once("end", () => this.answered.delete(request.socket))
  }

  /** Charges an address for a handshake so far. If it then owes too much, its handshakes in progress end. */
  private charge({ origin: { key: address }, socket }: Connection<Open>): void {
    const bytes = socket.raw.bytesRead - socket.chargedBytes
    if (bytes <= 0) return
    socket.chargedBytes += bytes
    if (!this.debts.charge(address, bytes, performance.now())) return
    for (const other of this.shaking.values()) if (other.origin.key === address) this.end(other)
  }

  private release(connection: Connection<Open>): void {
    const { socket } = connection
    if (this.shaking.get(socket.peer)?.socket === socket) {
      this.shaking.delete(socket.peer)
      this.charge(connection)
    }
    if (socket.share !== undefined) {
      this.inFlight.release(socket.counted, socket.share)
      this.inFlight.leave(socket.share)
    }
    socket.raw.destroy()
  }

  private end(connection: Connection<Open>): void {
    if (this.table.remove(connection)) this.release(connection)
  }

  private evict(connection: Connection<Open>, reason: Ending): void {
    this.end(connection)
    this.count(reason)
  }

  private evictOlder(kinds: ReadonlyArray<Kind>, millis: number, reason: Ending): void {
    const limit = performance.now() - millis
    for (const kind of kinds) {
      for (let one = this.table.oldest(kind); one !== undefined && one.since < limit; one = this.table.oldest(kind)) {
        this.evict(one, reason)
      }
    }
  }
}

/**
 * Follows the server's connections for as long as the scope is open.
 *
 * A connection belongs to the user that `ClientIdentity` names after the handshake. An identity that ends later gets
 * refusals, and the connection closes.
 */
export const follow = Effect.fnUntraced(function* (server: Server, limits: ConnectionLimits, inFlight: InFlight) {
  const identities = yield* ClientIdentity
  const clock = yield* Clock.Clock
  const userOf = (socket: TLSSocket) => identities.of(socket, clock.currentTimeMillisUnsafe())?.user
  const connections = new Connections(limits, userOf, inFlight, yield* ShedResponse.make, yield* ConnectionCounts.make)
  server.on("secureConnection", (socket) => connections.secure(socket))
  const sweepMillis = Math.max(1, Math.min(1000, Math.floor(Duration.toMillis(limits.responseTimeout) / 4)))
  const sweep = Effect.sync(() => connections.endStalled())
  yield* Effect.forkScoped(Effect.forever(Effect.delay(sweep, sweepMillis)))
  yield* Metrics.gauge(
    { name: "connections_open", description: "Open connections, those in their handshake too." },
    connections.table.count
  )
  yield* Metrics.gauge(
    {
      name: "connection_addresses",
      description: "Addresses that open connections come from; an IPv6 /64 network is one."
    },
    connections.table.addresses
  )
  return connections
})
