/** Settings of the limits on requests, connections and rates. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** Sizes, and numbers at one time. */
export const limits = {
  maxTargetBytes: withDefault(
    "MAX_TARGET_BYTES",
    Kind.integer(256, 8192),
    "2048",
    "Longest request target; beyond it 414."
  ),
  maxHeaderBytes: withDefault(
    "MAX_HEADER_BYTES",
    Kind.integer(1024, 65_536),
    "8192",
    "Largest header block; beyond it 431."
  ),
  maxBodyBytes: withDefault(
    "MAX_BODY_BYTES",
    Kind.integer(0, 1_048_576),
    "4096",
    "Largest announced request body, which is ignored; beyond it 400. An unannounced body is cut off at 256 KiB."
  ),
  maxConnections: withDefault(
    "MAX_CONNECTIONS",
    Kind.integer(1, 1_000_000),
    "2048",
    "Maximum open connections, about 75 kB each. A new one beyond it evicts the least useful."
  ),
  maxConnectionsPerAddress: withDefault(
    "MAX_CONNECTIONS_PER_ADDRESS",
    Kind.integer(1, 1_000_000),
    "1024",
    "The same for one address (IPv6: a /64 network). A proxy counts as one."
  ),
  maxConnectionsPerUser: optional(
    "MAX_CONNECTIONS_PER_USER",
    Kind.integer(1, 1_000_000),
    "The same for one user, over all its certificates and addresses. Unset: half of `MAX_CONNECTIONS`."
  ),
  maxPipelinedRequests: withDefault(
    "MAX_PIPELINED_REQUESTS",
    Kind.integer(1, 1000),
    "16",
    "Maximum unanswered requests on a connection; one more ends it."
  ),
  maxInFlight: withDefault(
    "MAX_IN_FLIGHT",
    Kind.integer(1, 1_000_000),
    "1024",
    "Maximum requests in flight without probes; beyond it 503. A user gets half, all unidentified clients a sixteenth."
  ),
  maxResponseBytes: withDefault(
    "MAX_RESPONSE_BYTES",
    Kind.integer(65_536, 2_147_483_647),
    "67108864",
    "Maximum bytes of large responses (16 KiB or more) that are being sent; beyond it 503. A user gets half."
  ),
  maxWait: withDefault(
    "MAX_WAIT",
    Kind.timeout,
    "60s",
    "Maximum time that a read with `Prefer: wait` waits for a change."
  ),
  maxWaiters: optional(
    "MAX_WAITERS",
    Kind.integer(1, 1_000_000),
    "Maximum reads that wait for a change; beyond it 429. A user gets half. Unset: a quarter of `MAX_CONNECTIONS`."
  ),
  maxStreams: optional(
    "MAX_STREAMS",
    Kind.integer(1, 1_000_000),
    "Maximum event streams; beyond it 429. A user gets half. Unset: a quarter of `MAX_CONNECTIONS`."
  ),
  maxStreamAge: withDefault(
    "MAX_STREAM_AGE",
    Kind.timeout,
    "60m",
    "Maximum age of an event stream. Each ends at a random time in the second half; its client reconnects."
  ),
  maxClusterWrites: withDefault(
    "MAX_CLUSTER_WRITES",
    Kind.integer(1, 10_000),
    "64",
    "Maximum writes to the cluster at once."
  ),
  maxQueuedWrites: withDefault(
    "MAX_QUEUED_WRITES",
    Kind.integer(0, 100_000),
    "256",
    "Maximum writes waiting; beyond it 503. Users take turns, with at most half of the places each."
  )
}

/** Rates. Each budget is a token bucket per client and instance. */
export const rates = {
  rateLimitReads: withDefault(
    "RATE_LIMIT_READS",
    Kind.integer(0, 1_000_000),
    "10000",
    "Reads per second for each user on an instance; beyond it 429. 0: no limit."
  ),
  rateLimitWrites: withDefault(
    "RATE_LIMIT_WRITES",
    Kind.integer(0, 1_000_000),
    "50",
    "Writes per second for each user on an instance; beyond it 429. 0: no limit."
  ),
  rateLimitUnidentified: withDefault(
    "RATE_LIMIT_UNIDENTIFIED",
    Kind.integer(0, 1_000_000),
    "10",
    "Requests per second without a valid certificate, for each address (IPv6: a /64 network). 0: no limit."
  ),
  rateLimitBurst: optional(
    "RATE_LIMIT_BURST",
    Kind.integer(1, 100_000_000),
    "Size of a token bucket. Unset: ten seconds' worth of its rate."
  ),
  rateLimitClients: withDefault(
    "RATE_LIMIT_CLIENTS",
    Kind.integer(1, 10_000_000),
    "20000",
    "Clients with a token bucket of their own; the rest share one."
  )
}
