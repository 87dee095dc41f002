/** Settings of the limits on requests, connections and rates. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** Sizes, and numbers at one time. */
export const limits = {
  maxTargetBytes: withDefault(
    "MAX_TARGET_BYTES",
    Kind.integer(256, 8192),
    "2048",
    "Largest request target, in bytes; a larger one gets 414."
  ),
  maxHeaderBytes: withDefault(
    "MAX_HEADER_BYTES",
    Kind.integer(1024, 65_536),
    "8192",
    "Largest header block, in bytes; a larger one gets 431."
  ),
  maxBodyBytes: withDefault(
    "MAX_BODY_BYTES",
    Kind.integer(0, 1_048_576),
    "4096",
    "Largest request body that is ignored, in bytes; a larger `Content-Length` gets 400. A body without one is cut off at 256 KiB."
  ),
  maxConnections: withDefault(
    "MAX_CONNECTIONS",
    Kind.integer(1, 1_000_000),
    "2048",
    "Most open connections, at 75 kB of memory each; fewer if the limit on open files is lower. A further one evicts a connection without a valid client certificate that has gone longest without a response, or else an idle one."
  ),
  maxConnectionsPerAddress: withDefault(
    "MAX_CONNECTIONS_PER_ADDRESS",
    Kind.integer(1, 1_000_000),
    "1024",
    "Most open connections of one address (an IPv6 /64 network), which many clients may share behind a proxy. A further one evicts one of the same address."
  ),
  maxPipelinedRequests: withDefault(
    "MAX_PIPELINED_REQUESTS",
    Kind.integer(1, 1000),
    "16",
    "Most requests of one connection that wait for a response; a further one closes the connection."
  ),
  maxInFlight: withDefault(
    "MAX_IN_FLIGHT",
    Kind.integer(1, 1_000_000),
    "1024",
    "Most requests in flight, probes excepted; further ones get 503. One user holds at most half of them, all clients without a valid certificate a sixteenth."
  ),
  maxClusterWrites: withDefault(
    "MAX_CLUSTER_WRITES",
    Kind.integer(1, 10_000),
    "64",
    "Most concurrent writes to the cluster."
  ),
  maxQueuedWrites: withDefault(
    "MAX_QUEUED_WRITES",
    Kind.integer(0, 100_000),
    "256",
    "Most writes in the queue, each within `REQUEST_TIMEOUT`; further ones get 503. Users take turns, and one holds at most half of the places."
  )
}

/** Rates. Each budget is a token bucket per client and instance. */
export const rates = {
  rateLimitReads: withDefault(
    "RATE_LIMIT_READS",
    Kind.integer(0, 1_000_000),
    "10000",
    "Reads per second of each identified user on one instance; further ones get 429. 0: no limit."
  ),
  rateLimitWrites: withDefault(
    "RATE_LIMIT_WRITES",
    Kind.integer(0, 1_000_000),
    "50",
    "Writes per second of each identified user on one instance; further ones get 429. 0: no limit."
  ),
  rateLimitUnidentified: withDefault(
    "RATE_LIMIT_UNIDENTIFIED",
    Kind.integer(0, 1_000_000),
    "10",
    "Requests per second without a valid client certificate, probes excepted, of each remote address (an IPv6 /64 network) on one instance; further ones get 429 instead of 403. 0: no limit."
  ),
  rateLimitBurst: optional(
    "RATE_LIMIT_BURST",
    Kind.integer(1, 100_000_000),
    "Burst of each budget, in requests. Unset: ten seconds' worth of its rate."
  ),
  rateLimitClients: withDefault(
    "RATE_LIMIT_CLIENTS",
    Kind.integer(1, 10_000_000),
    "20000",
    "How many clients have a budget of their own; further ones share one."
  )
}
