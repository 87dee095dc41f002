/**
 * The open connections of a server: how many there may be, which one has to go where there are too many, and which are
 * ended because nothing comes of them.
 */
import { Duration, Effect, Metric } from "effect"
import * as ObservedMetric from "../observability/ObservedMetric.ts"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Server } from "node:https"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { clientAddress } from "../limits/ClientAddress.ts"
import { type Connection, type Full, type Kind, make } from "../limits/ConnectionTable.ts"
import { putInFront } from "./InFront.ts"
import type { InFlight, Share } from "../limits/InFlight.ts"
import * as ShedResponse from "./ShedResponse.ts"
import { spend } from "./SpentConnection.ts"

/** What a server puts up with of its connections; the words are those of the settings. */
export interface ConnectionLimits {
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  readonly maxPipelinedRequests: number
  readonly requestTimeout: Duration.Duration
  readonly responseTimeout: Duration.Duration
  readonly keepAliveTimeout: Duration.Duration
}

/**
 * An open connection: what it is called, whose share of the places for requests is its client's (known after the handshake),
 * and how many of them its requests have taken.
 */
interface Open {
  readonly raw: Socket
  readonly peer: string
  share: Share | undefined
  counted: number
}

/** One for each connection of a machine: both of its ends. */
const peerOf = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}`

type Ending = Full | "pipelining" | "response_timeout" | "idle"

const refusedSeries = (reason: Full) =>
  Metric.counter("connections_refused_total", {
    description:
      "New connections closed at once, because there were as many as there may be (in `total` or of one `address`) and none could be ended for them.",
    incremental: true,
    attributes: { reason }
  })

const evictedSeries = (reason: Ending) =>
  Metric.counter("connections_evicted_total", {
    description:
      "Connections ended by the service: for new ones where there were as many as there may be (in `total` or of one `address`), for too many pipelined requests, for an answer that was not read, for being idle.",
    incremental: true,
    attributes: { reason }
  })

const shutdownSweepMillis = 200

/** What Node adds to the time that a connection is kept alive. */
const keepAliveBufferMillis = 1000

/** The connections of one server. */
export interface Connections {
  /** Puts itself in front of those who answer requests; to be called once they all listen. */
  readonly guardRequests: () => void
  /** Whether a request of this connection is being answered. */
  readonly isAnswering: (socket: Duplex) => boolean
  /** Whether this connection has got through its handshake. */
  readonly isSecured: (socket: Duplex) => boolean
  /** Whether a request on this connection was answered before it had arrived whole: nothing more may be said on it. */
  readonly wasAnswered: (socket: Duplex) => boolean
  /**
   * From now until the server has closed, ends every connection on which nothing is being answered, and after
   * `withinMillis` the others too. Node would wait for them for ever, its own time-outs being off once it closes; or not
   * long enough, for it takes an answer that has not left for one that has.
   */
  readonly endIdle: (withinMillis: number) => void
}

/**
 * Follows the server's connections; to be called before it listens. The gauges are there as long as the scope is open.
 *
 * A client counts as identified here once TLS has accepted its certificate; finer things are decided with its requests.
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
  // What has not happened yet is a count of none.
  for (const series of [...Object.values(refused), ...Object.values(evicted)]) series.updateUnsafe(0, services)
  const count = (reason: Ending) => evicted[reason].updateUnsafe(1, services)

  /** Those in their handshake, by their peers: Node does not tell which connection a secured one was. */
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

  // In front of Node's own listener, which sets up TLS: a connection that is refused costs none.
  const listeners = server.listeners("connection")
  server.removeAllListeners("connection")
  server.on("connection", (raw: Socket) => {
    // The peer may have gone already.
    if (raw.remoteAddress === undefined) {
      raw.destroy()
      return
    }
    const open: Open = { raw, peer: peerOf(raw), share: undefined, counted: 0 }
    const connection = table.admit(open, clientAddress(raw.remoteAddress))
    if (typeof connection === "string") {
      refused[connection].updateUnsafe(1, services)
      raw.destroy()
      return
    }
    shaking.set(open.peer, connection)
    raw.once("close", () => end(connection))
    for (const listener of listeners) listener.call(server, raw)
  })

  server.on("secureConnection", (socket) => {
    const peer = peerOf(socket)
    const connection = shaking.get(peer)
    if (connection === undefined) {
      // Its peer has gone meanwhile, so that it has no name any more.
      socket.destroy()
      return
    }
    shaking.delete(peer)
    secured.set(socket, connection)
    connection.socket.share = inFlight.join(socket.authorized ? socket.getPeerX509Certificate()?.subject : undefined)
    if (socket.authorized) table.identify(connection)
  })

  /** Follows a request until its answer has left. Whether it is to be answered; if not, that has been seen to. */
  const received = (request: IncomingMessage, response: ServerResponse): boolean => {
    const connection = secured.get(request.socket)
    const share = connection?.socket.share
    // The rest of what came in the packet for which the connection was ended.
    if (connection?.open !== true || share === undefined) return false
    if (connection.unanswered >= limits.maxPipelinedRequests) {
      evict(connection, "pipelining")
      spend(request)
      return false
    }
    const admission = inFlight.admit(request.url ?? "", share)
    table.received(connection)
    if (admission === "counted") connection.socket.counted++
    response.on("finish", () => {
      if (!connection.open) return
      table.answered(connection)
      if (admission !== "counted") return
      connection.socket.counted--
      inFlight.release(1, share)
    })
    if (ShedResponse.announcesBody(request)) {
      response.once("finish", () => {
        if (!request.complete) answered.add(request.socket)
      })
      request.once("end", () => answered.delete(request.socket))
    }
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
  const endStalled = () => {
    // First it is served, which has its own limit, and then the client reads the answer.
    for (const kind of ["strangersAnswered", "identifiedAnswered"] as const) {
      evictOlder(kind, requestMillis + responseMillis, "response_timeout")
    }
    // Node's own limits of time can be put off by sending line ends and no request.
    for (const kind of ["strangers", "identified"] as const) {
      evictOlder(kind, keepAliveMillis + keepAliveBufferMillis + requestMillis, "idle")
    }
  }
  const kinds = ["strangers", "identified", "strangersAnswered", "identifiedAnswered"] as const
  const endAll = (some: ReadonlyArray<Kind>) => {
    for (const kind of some) {
      for (let oldest = table.oldest(kind); oldest !== undefined; oldest = table.oldest(kind)) end(oldest)
    }
  }
  const endUnanswered = () => endAll(["strangers", "identified"])
  // Node would destroy connections whose answer is still on its way, once it closes.
  server.closeIdleConnections = () => {}
  server.once("listening", () => {
    const sweeps = setInterval(endStalled, Math.max(1, Math.min(1000, Math.floor(responseMillis / 4))))
    sweeps.unref()
    server.once("close", () => clearInterval(sweeps))
  })

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
    guardRequests: () => {
      for (const event of ["request", "checkContinue"] as const) {
        putInFront(server, event, received)
      }
    },
    isAnswering: (socket) => (secured.get(socket)?.unanswered ?? 0) > 0,
    isSecured: (socket) => secured.has(socket),
    wasAnswered: (socket) => answered.has(socket),
    endIdle: (withinMillis) => {
      endUnanswered()
      const sweeps = setInterval(endUnanswered, shutdownSweepMillis)
      const last = setTimeout(() => endAll(kinds), withinMillis)
      sweeps.unref()
      last.unref()
      server.once("close", () => {
        clearInterval(sweeps)
        clearTimeout(last)
      })
    }
  } satisfies Connections
})
