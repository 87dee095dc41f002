/**
 * Every setting of the service: its environment variable, its default, what it is for, and the schema its text must pass.
 */
import * as LogSettings from "./LogSettings.ts"
import { Duration, Effect, Redacted, Schema, SchemaTransformation } from "effect"
import { NamespaceName } from "../contract/Names.ts"
import { SettingError } from "./SettingError.ts"
import {
  duration,
  file,
  headers,
  integer,
  type Kind,
  limit,
  markdownOf,
  ratio,
  read,
  readOptional,
  redisUrl,
  type Setting,
  setting,
  text,
  url,
  words,
  yesOrNo
} from "./Setting.ts"

const policyPath: Kind<string> = { allowed: "a path to a YAML or JSON file", codec: Schema.NonEmptyString }

/** The TLS 1.3 cipher suites that may be offered; there are no others. */
export const cipherSuites = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256"
] as const

const cipherList: Kind<string> = {
  allowed: `one or more of ${cipherSuites.join(", ")}, separated by ":"`,
  codec: Schema.String.check(
    Schema.isPattern(new RegExp(`^(?:${cipherSuites.join("|")})(?::(?:${cipherSuites.join("|")}))*$`))
  )
}

const namespaceList: Kind<ReadonlyArray<NamespaceName>> = {
  allowed: "names of namespaces, separated by commas, each once",
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.Array(NamespaceName).check(
        Schema.makeFilter((names: ReadonlyArray<string>) => new Set(names).size === names.length, {
          expected: "each name once"
        })
      ),
      SchemaTransformation.transform({
        decode: (written): ReadonlyArray<string> => written.split(",").map((name) => name.trim()),
        encode: (names: ReadonlyArray<string>) => names.join(",")
      })
    )
  )
}

const keyPrefix: Kind<string> = {
  allowed: "1 to 64 letters, digits, dots, hyphens, underscores and colons",
  codec: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._:-]{1,64}$/))
}

const lease: Kind<Duration.Duration> = {
  allowed: "a duration of 1s..1h",
  codec: duration.codec.check(
    Schema.makeFilter(
      (value: Duration.Duration) =>
        Duration.between(value, { minimum: Duration.seconds(1), maximum: Duration.hours(1) }),
      {
        expected: "a duration of 1s..1h"
      }
    )
  )
}

/** The settings, in the order in which docs/configuration.md lists them. */
export const settings = {
  host: setting("HOST", text, "0.0.0.0", "Address to listen on."),
  port: setting("PORT", integer(0, 65_535), "8443", "Port to listen on; 0 takes a free one."),
  tlsCertFile: setting("TLS_CERT_FILE", file, undefined, "The server's certificate, with its chain. Required."),
  tlsKeyFile: setting("TLS_KEY_FILE", file, undefined, "The private key of the server's certificate. Required."),
  tlsClientCaFile: setting(
    "TLS_CLIENT_CA_FILE",
    file,
    undefined,
    "The certificate authorities that client certificates must be signed by. Required."
  ),
  tlsCrlFile: setting("TLS_CRL_FILE", file, undefined, "Revocation lists of those authorities; none if not set."),
  tlsClientAuth: setting(
    "TLS_CLIENT_AUTH",
    words("optional", "require"),
    "optional",
    "`optional` serves probes (and 403s) to clients without a valid certificate; `require` refuses them at the handshake."
  ),
  tlsCiphers: setting("TLS_CIPHERS", cipherList, "TLS_AES_128_GCM_SHA256", "The TLS 1.3 cipher suites to offer."),
  tlsExpiryWarning: setting(
    "TLS_EXPIRY_WARNING",
    duration,
    "21d",
    "How long before a certificate or revocation list expires the log warns of it; of one that is short-lived, in its last quarter."
  ),
  kubeSource: setting(
    "KUBE_SOURCE",
    words("auto", "in-cluster", "kubeconfig", "embedded"),
    "auto",
    "Where the cluster is: `in-cluster` (service account), `kubeconfig`, `embedded` (the demo cluster inside the process), or `auto`: in-cluster where there is a service account, else kubeconfig."
  ),
  kubeconfig: setting(
    "KUBECONFIG",
    text,
    undefined,
    "The kubeconfig file; the user's own (~/.kube/config) if not set."
  ),
  kubeContext: setting("KUBE_CONTEXT", text, undefined, "The kubeconfig context to use; its current one if not set."),
  kubeNamespaces: setting(
    "KUBE_NAMESPACES",
    namespaceList,
    undefined,
    "The only namespaces to serve, where a Role in each is all that this service has (`list` and `watch` on deployments, `patch` on deployments/scale, `get` on the namespace); the whole cluster if not set."
  ),
  cache: setting(
    "CACHE",
    words("memory", "redis"),
    "memory",
    "Where each instance has what it knows of the cluster from: `memory`: it lists and watches the cluster itself; `redis`: one of them does, and tells the others through the Redis server of `REDIS_URL`."
  ),
  role: setting(
    "ROLE",
    words("all", "watcher", "server"),
    "all",
    "With `CACHE=redis`, what this instance does: `server`: serves clients and never lists or watches the cluster; `watcher`: stands by to be the one that does, and serves probes and metrics alone; `all`: both."
  ),
  redisUrl: setting(
    "REDIS_URL",
    redisUrl,
    undefined,
    "The Redis server, with the user and password if it asks for them; never logged. Required with `CACHE=redis`."
  ),
  redisCaFile: setting(
    "REDIS_CA_FILE",
    file,
    undefined,
    "With `rediss://`, the certificate authorities that the Redis server's certificate must be signed by; the public ones if not set."
  ),
  redisKeyPrefix: setting(
    "REDIS_KEY_PREFIX",
    keyPrefix,
    "kube-resource-api",
    "What the keys in Redis begin with. Releases that share a Redis server need different ones."
  ),
  watcherLease: setting(
    "WATCHER_LEASE",
    lease,
    "15s",
    "With `CACHE=redis`, how long after its last word the instance that watches the cluster is taken for dead, and another follows it."
  ),
  authorization: setting(
    "AUTHORIZATION",
    words("policy", "kubernetes"),
    undefined,
    "What decides who may do what: `policy` (the file `POLICY_FILE`) or `kubernetes` (the cluster's RBAC, asked about the certificate's user and groups). Not set: `policy` if `POLICY_FILE` is set, else `kubernetes`."
  ),
  policyFile: setting(
    "POLICY_FILE",
    policyPath,
    undefined,
    "The policy; read again when it changes. docs/authorization.md tells what it is written like."
  ),
  authorizationCacheAllow: setting(
    "AUTHORIZATION_CACHE_ALLOW",
    duration,
    "5m",
    "How long the cluster's yes is kept; 0s asks it for each request."
  ),
  authorizationCacheDeny: setting(
    "AUTHORIZATION_CACHE_DENY",
    duration,
    "30s",
    "How long the cluster's no is kept; 0s asks it for each request."
  ),
  authorizationCacheSize: setting(
    "AUTHORIZATION_CACHE_SIZE",
    integer(1, 1_000_000),
    "10000",
    "How many of the cluster's answers are kept, yes and no each; beyond it the oldest goes."
  ),
  readyMaxStaleness: setting(
    "READY_MAX_STALENESS",
    duration,
    undefined,
    "How long after the cluster was last heard from `/readyz` turns 503; never if not set (stale reads beat none)."
  ),
  maxTargetBytes: setting(
    "MAX_TARGET_BYTES",
    integer(256, 8192),
    "2048",
    "Longest request target, in bytes; a longer one gets 414."
  ),
  maxHeaderBytes: setting(
    "MAX_HEADER_BYTES",
    integer(1024, 65_536),
    "8192",
    "Largest header block, in bytes; a larger one gets 431."
  ),
  maxBodyBytes: setting(
    "MAX_BODY_BYTES",
    integer(0, 1_048_576),
    "4096",
    "Largest request body that is ignored, in bytes; a request that announces a larger one gets 400. One that announces nothing is cut off at 256 KiB."
  ),
  auditEvents: setting(
    "AUDIT_EVENTS",
    yesOrNo,
    "false",
    "Whether each accepted write is also recorded as an Event on its deployment, for `kubectl describe`; the service's account then needs `create` on `events`."
  ),
  maxConnections: setting(
    "MAX_CONNECTIONS",
    integer(1, 1_000_000),
    "2048",
    "Most connections at once, at 75 kB of memory each; less where the limit on open files is lower. For one more, the one of least use is ended: without a valid client certificate and longest without an answer, then an idle one."
  ),
  maxConnectionsPerAddress: setting(
    "MAX_CONNECTIONS_PER_ADDRESS",
    integer(1, 1_000_000),
    "1024",
    "Most connections at once from one address (an IPv6 /64 network), which may be many clients' behind a proxy. For one more, one of the same address is ended."
  ),
  maxPipelinedRequests: setting(
    "MAX_PIPELINED_REQUESTS",
    integer(1, 1000),
    "16",
    "Most requests of one connection that may wait for their answers; one more ends the connection."
  ),
  maxInFlight: setting(
    "MAX_IN_FLIGHT",
    integer(1, 1_000_000),
    "1024",
    "Most requests that are being answered at once, probes aside; more get 503. One user has at most half of them, all clients without a valid certificate a sixteenth."
  ),
  maxClusterWrites: setting(
    "MAX_CLUSTER_WRITES",
    integer(1, 10_000),
    "64",
    "Most writes that the cluster is asked for at once."
  ),
  maxQueuedWrites: setting(
    "MAX_QUEUED_WRITES",
    integer(0, 100_000),
    "256",
    "Most writes that wait for their turn, within REQUEST_TIMEOUT; more get 503. Users take turns, and one holds at most half of the places."
  ),
  rateLimitReads: setting(
    "RATE_LIMIT_READS",
    integer(0, 1_000_000),
    "10000",
    "Reads a second that each identified user may make of one instance; more get 429. 0 is no limit."
  ),
  rateLimitWrites: setting(
    "RATE_LIMIT_WRITES",
    integer(0, 1_000_000),
    "50",
    "Writes a second that each identified user may ask of one instance; more get 429. 0 is no limit."
  ),
  rateLimitUnidentified: setting(
    "RATE_LIMIT_UNIDENTIFIED",
    integer(0, 1_000_000),
    "10",
    "Requests a second without a valid client certificate, probes aside, that each remote address (an IPv6 /64 network) may make of one instance; more get 429 instead of 403. 0 is no limit."
  ),
  rateLimitBurst: setting(
    "RATE_LIMIT_BURST",
    integer(1, 100_000_000),
    undefined,
    "Requests a client may save up and spend at once, in each of these budgets; ten seconds' worth of each if not set."
  ),
  rateLimitClients: setting(
    "RATE_LIMIT_CLIENTS",
    integer(1, 10_000_000),
    "20000",
    "How many clients have a budget of their own at once; those beyond share one."
  ),
  tlsHandshakeTimeout: setting("TLS_HANDSHAKE_TIMEOUT", limit, "5s", "How long a TLS handshake may take."),
  headersTimeout: setting("HEADERS_TIMEOUT", limit, "10s", "How long a request's headers may take to arrive (408)."),
  requestTimeout: setting(
    "REQUEST_TIMEOUT",
    limit,
    "15s",
    "How long a whole request may take to arrive, and how long it may take to be served (408)."
  ),
  responseTimeout: setting(
    "RESPONSE_TIMEOUT",
    limit,
    "30s",
    "How long a client may take to read an answer; then its connection is ended."
  ),
  keepAliveTimeout: setting("KEEP_ALIVE_TIMEOUT", limit, "65s", "How long an idle connection is kept open."),
  drainPeriod: setting(
    "DRAIN_PERIOD",
    duration,
    "5s",
    "How long `/readyz` says 503 before the port closes at shutdown, so that balancers take the instance out first."
  ),
  shutdownTimeout: setting(
    "SHUTDOWN_TIMEOUT",
    duration,
    "20s",
    "How long requests in flight may take to finish once the port has closed."
  ),
  logLevel: LogSettings.logLevel,
  logFormat: LogSettings.logFormat,
  requestLog: setting(
    "REQUEST_LOG",
    words("off", "errors", "sampled", "all"),
    "all",
    "Which requests get a line in the log: `errors` those with a status of 400 or more, `sampled` those and one in `REQUEST_LOG_SAMPLE` of the others. `LOG_LEVEL` applies: 500 is an error, other 5xx warnings, the rest info."
  ),
  requestLogSample: setting(
    "REQUEST_LOG_SAMPLE",
    integer(1, 1_000_000),
    "100",
    "With `REQUEST_LOG=sampled`, one in how many requests without an error is logged."
  ),
  metricsPort: setting(
    "METRICS_PORT",
    integer(0, 65_535),
    undefined,
    "Port for `/metrics` over plain HTTP, for whoever can reach it; 0 takes a free one. If not set there is none: `/metrics` is then served on `PORT` alone, to those who may `get metrics`."
  ),
  otlpEndpoint: setting(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    url,
    undefined,
    "Base URL of an OpenTelemetry collector (OTLP over HTTP) for traces; no traces if not set."
  ),
  otlpHeaders: setting(
    "OTEL_EXPORTER_OTLP_HEADERS",
    headers,
    undefined,
    "Header fields to send to the collector. They may hold secrets and are never logged."
  ),
  otlpProtocol: setting(
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    words("http/protobuf", "http/json"),
    "http/protobuf",
    "How traces are encoded."
  ),
  otelServiceName: setting("OTEL_SERVICE_NAME", text, "kube-resource-api", "The service's name in traces."),
  tracesSamplerArg: setting(
    "OTEL_TRACES_SAMPLER_ARG",
    ratio,
    "1",
    "The part of the traces that begin here that is kept. A caller's `traceparent` decides for its own traces."
  ),
  examplesDir: setting(
    "EXAMPLES_DIR",
    text,
    undefined,
    "A folder of development certificates: once the service is up it prints curl lines that use them."
  )
}

type Values = {
  readonly [K in keyof typeof settings]: (typeof settings)[K] extends Setting<infer A> ? A : never
}
type Optional =
  | "tlsCertFile"
  | "tlsKeyFile"
  | "tlsClientCaFile"
  | "tlsCrlFile"
  | "kubeconfig"
  | "kubeContext"
  | "kubeNamespaces"
  | "redisUrl"
  | "redisCaFile"
  | "policyFile"
  | "readyMaxStaleness"
  | "rateLimitBurst"
  | "metricsPort"
  | "otlpEndpoint"
  | "otlpHeaders"
  | "examplesDir"

/** The decoded settings; those without a default are undefined where not set. */
export type Settings = {
  readonly [K in keyof Values]: K extends Optional ? Values[K] | undefined : Values[K]
}

/** Settings that do not go together: each may be what it is, but not beside the other. */
const together = (read: Settings): Effect.Effect<Settings, SettingError> =>
  Duration.isGreaterThan(read.headersTimeout, read.requestTimeout)
    ? Effect.fail(
        new SettingError({
          setting: settings.headersTimeout.name,
          value: `${Duration.toMillis(read.headersTimeout)}ms`,
          problem: `longer than REQUEST_TIMEOUT=${Duration.toMillis(read.requestTimeout)}ms, in which the headers must come too`,
          fix: "Set it to REQUEST_TIMEOUT or less."
        })
      )
    : Duration.isGreaterThan(read.requestTimeout, read.shutdownTimeout)
      ? Effect.fail(
          new SettingError({
            setting: settings.shutdownTimeout.name,
            value: `${Duration.toMillis(read.shutdownTimeout)}ms`,
            problem: `shorter than REQUEST_TIMEOUT=${Duration.toMillis(read.requestTimeout)}ms: a request that is allowed its time would be cut off`,
            fix: "Set it to REQUEST_TIMEOUT or more."
          })
        )
      : Effect.succeed(read)

const isTls = (url: Redacted.Redacted<string>): boolean => Redacted.value(url).startsWith("rediss:")

/** Settings of the shared cache that do not go with the rest. */
const withCache = (read: Settings): Effect.Effect<Settings, SettingError> => {
  const { cache, kubeSource, redisCaFile, redisUrl, role } = read
  const refuse = (setting: string, value: string | undefined, problem: string, fix: string) =>
    Effect.fail(new SettingError({ setting, value, problem, fix }))
  if (cache === "memory") {
    if (role !== "all") {
      return refuse(
        settings.role.name,
        role,
        "with CACHE=memory each instance must watch the cluster and serve, for it shares nothing",
        "Set CACHE=redis and REDIS_URL, or leave ROLE out."
      )
    }
    return redisUrl === undefined && redisCaFile === undefined
      ? Effect.succeed(read)
      : refuse(
          settings.cache.name,
          cache,
          `the Redis server that ${(redisUrl === undefined ? settings.redisCaFile : settings.redisUrl).name} is about would not be used`,
          "Set it to redis, or leave REDIS_URL and REDIS_CA_FILE out."
        )
  }
  if (redisUrl === undefined) {
    return refuse(
      settings.redisUrl.name,
      undefined,
      "CACHE=redis needs a Redis server",
      `Set it to ${settings.redisUrl.allowed}.`
    )
  }
  if (redisCaFile !== undefined && !isTls(redisUrl)) {
    return refuse(
      settings.redisCaFile.name,
      redisCaFile,
      "REDIS_URL begins with redis://, where there is no certificate to check",
      "Have REDIS_URL begin with rediss://, or leave it out."
    )
  }
  return kubeSource === "embedded" && role !== "all"
    ? refuse(
        settings.role.name,
        role,
        "with KUBE_SOURCE=embedded each process has a cluster of its own, and would serve or follow that of another",
        "Leave it out, or set KUBE_SOURCE to where the cluster is."
      )
    : Effect.succeed(read)
}

/** What decides who may do what, where it is not said outright. */
const withAuthorization = (
  read: Omit<Settings, "authorization"> & { readonly authorization: Settings["authorization"] | undefined }
): Effect.Effect<Settings, SettingError> => {
  const { authorization, policyFile } = read
  if (authorization === "policy" && policyFile === undefined) {
    return Effect.fail(
      new SettingError({
        setting: settings.policyFile.name,
        value: undefined,
        problem: "AUTHORIZATION=policy needs a policy",
        fix: "Name its file, or set AUTHORIZATION=kubernetes to have the cluster's RBAC decide."
      })
    )
  }
  if (authorization === "kubernetes" && policyFile !== undefined) {
    return Effect.fail(
      new SettingError({
        setting: settings.authorization.name,
        value: authorization,
        problem: `the cluster's RBAC would decide, and POLICY_FILE=${policyFile} would not be read`,
        fix: "Set it to policy, or leave POLICY_FILE out."
      })
    )
  }
  return Effect.succeed({
    ...read,
    authorization: authorization ?? (policyFile === undefined ? "kubernetes" : "policy")
  })
}

/** Reads and decodes every setting; fails with the first that cannot be used. */
export const load: Effect.Effect<Settings, SettingError> = Effect.all({
  host: read(settings.host),
  port: read(settings.port),
  tlsCertFile: readOptional(settings.tlsCertFile),
  tlsKeyFile: readOptional(settings.tlsKeyFile),
  tlsClientCaFile: readOptional(settings.tlsClientCaFile),
  tlsCrlFile: readOptional(settings.tlsCrlFile),
  tlsClientAuth: read(settings.tlsClientAuth),
  tlsCiphers: read(settings.tlsCiphers),
  tlsExpiryWarning: read(settings.tlsExpiryWarning),
  kubeSource: read(settings.kubeSource),
  kubeconfig: readOptional(settings.kubeconfig),
  kubeContext: readOptional(settings.kubeContext),
  kubeNamespaces: readOptional(settings.kubeNamespaces),
  cache: read(settings.cache),
  role: read(settings.role),
  redisUrl: readOptional(settings.redisUrl),
  redisCaFile: readOptional(settings.redisCaFile),
  redisKeyPrefix: read(settings.redisKeyPrefix),
  watcherLease: read(settings.watcherLease),
  authorization: readOptional(settings.authorization),
  policyFile: readOptional(settings.policyFile),
  authorizationCacheAllow: read(settings.authorizationCacheAllow),
  authorizationCacheDeny: read(settings.authorizationCacheDeny),
  authorizationCacheSize: read(settings.authorizationCacheSize),
  readyMaxStaleness: readOptional(settings.readyMaxStaleness),
  maxTargetBytes: read(settings.maxTargetBytes),
  maxHeaderBytes: read(settings.maxHeaderBytes),
  maxBodyBytes: read(settings.maxBodyBytes),
  auditEvents: read(settings.auditEvents),
  maxConnections: read(settings.maxConnections),
  maxConnectionsPerAddress: read(settings.maxConnectionsPerAddress),
  maxPipelinedRequests: read(settings.maxPipelinedRequests),
  maxInFlight: read(settings.maxInFlight),
  maxClusterWrites: read(settings.maxClusterWrites),
  maxQueuedWrites: read(settings.maxQueuedWrites),
  rateLimitReads: read(settings.rateLimitReads),
  rateLimitWrites: read(settings.rateLimitWrites),
  rateLimitUnidentified: read(settings.rateLimitUnidentified),
  rateLimitBurst: readOptional(settings.rateLimitBurst),
  rateLimitClients: read(settings.rateLimitClients),
  tlsHandshakeTimeout: read(settings.tlsHandshakeTimeout),
  headersTimeout: read(settings.headersTimeout),
  requestTimeout: read(settings.requestTimeout),
  responseTimeout: read(settings.responseTimeout),
  keepAliveTimeout: read(settings.keepAliveTimeout),
  drainPeriod: read(settings.drainPeriod),
  shutdownTimeout: read(settings.shutdownTimeout),
  logLevel: read(settings.logLevel),
  logFormat: read(settings.logFormat),
  requestLog: read(settings.requestLog),
  requestLogSample: read(settings.requestLogSample),
  metricsPort: readOptional(settings.metricsPort),
  otlpEndpoint: readOptional(settings.otlpEndpoint),
  otlpHeaders: readOptional(settings.otlpHeaders),
  otlpProtocol: read(settings.otlpProtocol),
  otelServiceName: read(settings.otelServiceName),
  tracesSamplerArg: read(settings.tracesSamplerArg),
  examplesDir: readOptional(settings.examplesDir)
}).pipe(Effect.flatMap(withAuthorization), Effect.flatMap(withCache), Effect.flatMap(together))

/** docs/configuration.md's table, made from the descriptions above. */
export const markdown = (): string => markdownOf(settings)
