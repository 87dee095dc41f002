/**
 * The connection guard: bounds how many connections are open, ends the one of least use where there are too many, and ends
 * those that achieve nothing.
 */
import { Duration, Effect, Metric } from "effect"
import * as ObservedMetric from "../observability/ObservedMetric.ts"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Server } from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { clientAddress } from "../limits/ClientAddress.ts"
import { type Connection, type Full, type Kind, make } from "../limits/ConnectionTable.ts"
import type { InFlight, Share } from "../limits/InFlight.ts"
import * as ShedResponse from "./ShedResponse.ts"
import { spend } from "./SpentConnection.ts"

/** Limits of a server's connections, named as the settings. */
export interface ConnectionLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  readonly maxPipelinedRequests: number
  readonly requestTimeout: Duration.Duration
  readonly responseTimeout: Duration.Duration
  readonly keepAliveTimeout: Duration.Duration
}

/**
 * An open connection: the peer's key, the client's in-flight share (known after the handshake), and the places that its
 * requests hold.
 */
interface Open {
  readonly raw: Socket
  readonly peer: string
  share: Share | undefined
  counted: number
}

/** The key of a connection: both of its ends. */
const peerOf = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}`

type Ending = Full | "pipelining" | "response_timeout" | "idle"

const refusedSeries = (reason: Full) =>
  Metric.counter("connections_refused_total", {
    description:
      "New connections closed at once: the limit (in `total` or of one `address`) was reached and none could be ended for them.",
    incremental: true,
    attributes: { reason }
  })

const evictedSeries = (reason: Ending) =>
  Metric.counter("connections_evicted_total", {
    description:
      "Connections ended by the service: to make room for a new one (in `total` or of one `address`), for too many pipelined requests, for a response that was not read, for being idle.",
    incremental: true,
    attributes: { reason }
  })

const shutdownSweepMillis = 200

/** Node adds this to the time that a connection is kept alive. */
const keepAliveBufferMillis = 1000

/** The connections of one server. */
export interface Connections {
  /** Decides about a new connection before its handshake. What it refuses it has destroyed. */
  readonly admit: (raw: Socket) => boolean
  /** Follows a request until its response has left. `false`: the request needs no response, or has had it. */
  readonly received: (request: IncomingMessage, response: ServerResponse) => boolean
  /** Whether a request of this connection is being answered. */
  readonly isAnswering: (socket: Duplex) => boolean
  /** Whether this connection has completed its handshake. */
  readonly isSecured: (socket: Duplex) => boolean
  /** Whether a request on this connection was answered before it had arrived whole: nothing more may be said on it. */
  readonly wasAnswered: (socket: Duplex) => boolean
  /** Ends idle connections, again and again, and the others after `withinMillis`. Never succeeds. */
  readonly drain: (withinMillis: number) => Effect.Effect<never>
}

/**
 * Follows the server's connections. The gauges are registered for as long as the scope is open.
 *
 * A client counts as identified here once TLS has accepted its certificate. Requests are judged more finely.
 */
export const follow = Effect.fnUntraced(function* (server: Server, limits: ConnectionLimits, inFlight: InFlight) {
  const services = yield* Effect.context<never>()
  const shed = yield* ShedResponse.make
  const refused = { total: refusedSeries("total"), address: refusedSeries("address") }
  const evicted = {
    total: evictedSeries("total"),
    address: evictedSeries("address"),
    pipelining: evictedSeries("pipelining"),
    response_timeout: evictedSeries("response_timeout"),
    idle: evictedSeries("idle")
  }
  // A series exists before its first event, so that an alert can tell 0 from absent.
  for (const series of [...Object.values(refused), ...Object.values(evicted)]) series.updateUnsafe(0, services)
  const count = (reason: Ending) => evicted[reason].updateUnsafe(1, services)

  // Those in their handshake, by peer: Node does not tell which connection a secured socket came from.
  const shaking = new Map<string, Connection<Open>>()
  const secured = new WeakMap<Duplex, Connection<Open>>()
  const answered = new WeakSet<Duplex>()

  const release = ({ socket }: Connection<Open>) => {
    if (shaking.get(socket.peer)?.socket === socket) shaking.delete(socket.peer)
    if (socket.share !== undefined) {
      inFlight.release(socket.counted, socket.share)
      inFlight.leave(socket.share)
    }
    socket.raw.destroy()
  }
  const table = make<Open>(
    limits,
    (connection, reason) => {
      release(connection)
      count(reason)
    },
    () => performance.now()
  )
  const end = (connection: Connection<Open>): void => {
    if (table.remove(connection)) release(connection)
  }
  const evict = (connection: Connection<Open>, reason: Ending) => {
    end(connection)
    count(reason)
  }

  const admit = (raw: Socket): boolean => {
    // The peer may have gone already.
    if (raw.remoteAddress === undefined) {
      raw.destroy()
      return false
    }
    const open: Open = { raw, peer: peerOf(raw), share: undefined, counted: 0 }
    const connection = table.admit(open, clientAddress(raw.remoteAddress))
    if (typeof connection === "string") {
      refused[connection].updateUnsafe(1, services)
      raw.destroy()
      return false
    }
    shaking.set(open.peer, connection)
    raw.once("close", () => end(connection))
    return true
  }

  server.on("secureConnection", (socket) => {
    const peer = peerOf(socket)
    const connection = shaking.get(peer)
    if (connection === undefined) {
      // Its peer has gone meanwhile, so that it has no address any more.
      socket.destroy()
      return
    }
    shaking.delete(peer)
    secured.set(socket, connection)
    connection.socket.share = inFlight.join(socket.authorized ? socket.getPeerX509Certificate()?.subject : undefined)
    if (socket.authorized) table.identify(connection)
  })

  /** Notes the end of a response, and whether its request had arrived whole by then. */
  const follow = (request: IncomingMessage, response: ServerResponse, finished: () => void) => {
    response.on("finish", finished)
    if (!ShedResponse.announcesBody(request)) return
    response.once("finish", () => {
      if (!request.complete) answered.add(request.socket)
    })
    request.once("end", () => answered.delete(request.socket))
  }

  const received = (request: IncomingMessage, response: ServerResponse): boolean => {
    const connection = secured.get(request.socket)
    const share = connection?.socket.share
    // The rest of the packet for which the connection was ended.
    if (connection?.open !== true || share === undefined) return false
    if (connection.unanswered >= limits.maxPipelinedRequests) {
      evict(connection, "pipelining")
      spend(request)
      return false
    }
    const admission = inFlight.admit(request.url ?? "", share)
    table.received(connection)
    if (admission === "counted") connection.socket.counted++
    follow(request, response, () => {
      if (!connection.open) return
      table.answered(connection)
      if (admission !== "counted") return
      connection.socket.counted--
      inFlight.release(1, share)
    })
    if (admission === "shed") shed(request, response)
    return admission !== "shed"
  }

  const requestMillis = Duration.toMillis(limits.requestTimeout)
  const responseMillis = Duration.toMillis(limits.responseTimeout)
  const keepAliveMillis = Duration.toMillis(limits.keepAliveTimeout)
  const evictOlder = (kind: Kind, millis: number, reason: Ending) => {
    const limit = performance.now() - millis
    for (let oldest = table.oldest(kind); oldest !== undefined && oldest.since < limit; oldest = table.oldest(kind)) {
      evict(oldest, reason)
    }
  }
  const endStalled = Effect.sync(() => {
    // The request is served, which has its own limit, and then the client reads the response.
    for (const kind of ["strangersAnswered", "identifiedAnswered"] as const) {
      evictOlder(kind, requestMillis + responseMillis, "response_timeout")
    }
    // A client puts Node's own time limits off by sending line ends and no request.
    for (const kind of ["strangers", "identified"] as const) {
      evictOlder(kind, keepAliveMillis + keepAliveBufferMillis + requestMillis, "idle")
    }
  })
  const sweepMillis = Math.max(1, Math.min(1000, Math.floor(responseMillis / 4)))
  yield* Effect.forkScoped(Effect.forever(Effect.delay(endStalled, sweepMillis)))

  const endAll = (kinds: ReadonlyArray<Kind>) =>
    Effect.sync(() => {
      for (const kind of kinds) {
        for (let oldest = table.oldest(kind); oldest !== undefined; oldest = table.oldest(kind)) end(oldest)
      }
    })
  const endIdle = endAll(["strangers", "identified"])

  yield* ObservedMetric.gauge(
    { name: "connections_open", description: "Open connections, those in their handshake too." },
    table.count
  )
  yield* ObservedMetric.gauge(
    {
      name: "connection_addresses",
      description: "Addresses that open connections come from; an IPv6 /64 network is one."
    },
    table.addresses
  )

  return {
    admit,
    received,
    isAnswering: (socket) => (secured.get(socket)?.unanswered ?? 0) > 0,
    isSecured: (socket) => secured.has(socket),
    wasAnswered: (socket) => answered.has(socket),
    drain: (withinMillis) =>
      Effect.andThen(
        Effect.forkChild(Effect.delay(endAll(["strangersAnswered", "identifiedAnswered"]), withinMillis)),
        Effect.forever(Effect.andThen(endIdle, Effect.sleep(shutdownSweepMillis)))
      )
  } satisfies Connections
})
