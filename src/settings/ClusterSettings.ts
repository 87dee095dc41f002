/** Settings of the cluster, the cache of its state, and authorization. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The cluster that is served. */
export const cluster = {
  kubeSource: withDefault(
    "KUBE_SOURCE",
    Kind.oneOf("auto", "in-cluster", "kubeconfig", "embedded"),
    "auto",
    "Source of the cluster: service account, kubeconfig or embedded demo. `auto`: the service account if there is one, else the kubeconfig."
  ),
  embeddedSeed: optional(
    "EMBEDDED_SEED",
    Kind.yamlFile,
    "Initial content of the embedded cluster (docs/testing.md). Read only at startup. Unset: the demo's content."
  ),
  kubeconfig: optional("KUBECONFIG", Kind.text, "Kubeconfig file. Unset: ~/.kube/config."),
  kubeContext: optional("KUBE_CONTEXT", Kind.text, "Kubeconfig context. Unset: the current one."),
  kubeNamespaces: optional(
    "KUBE_NAMESPACES",
    Kind.namespaces,
    "Namespaces to serve, with a Role in each. Unset: the whole cluster."
  ),
  kubeContentType: withDefault(
    "KUBE_CONTENT_TYPE",
    Kind.oneOf("protobuf", "json"),
    "protobuf",
    "Encoding to request for lists and watches. The cluster may still answer in JSON."
  ),
  kubeRelistInterval: withDefault(
    "KUBE_RELIST_INTERVAL",
    Kind.duration,
    "6h",
    "Interval of full lists, with 20 % jitter. Limits how long an undetected restore of etcd can hide changes. 0s: never."
  ),
  readyMaxStaleness: optional(
    "READY_MAX_STALENESS",
    Kind.duration,
    "Age of the cluster state at which `/readyz` turns 503. Unset: never."
  )
}

/** The cache, and the Redis server that instances may share it through. */
export const cache = {
  cache: withDefault(
    "CACHE",
    Kind.oneOf("memory", "redis"),
    "memory",
    "Source of the cluster state: `memory` watches the cluster in every instance, `redis` shares one watch."
  ),
  role: withDefault(
    "ROLE",
    Kind.oneOf("all", "watcher", "server"),
    "all",
    "With `CACHE=redis`: `server` never watches the cluster, `watcher` serves no clients, `all` does both."
  ),
  redisUrl: optional(
    "REDIS_URL",
    Kind.redisUrl,
    "Redis server, with user and password. Never logged. `CACHE=redis` requires it or `REDIS_SENTINELS`."
  ),
  redisSentinels: optional(
    "REDIS_SENTINELS",
    Kind.hostPorts,
    "Redis Sentinels to ask for the primary, instead of `REDIS_URL`."
  ),
  redisSentinelName: optional(
    "REDIS_SENTINEL_NAME",
    Kind.sentinelName,
    "Name of the primary in the Sentinels' configuration. Required with `REDIS_SENTINELS`."
  ),
  redisUsername: optional("REDIS_USERNAME", Kind.text, "User of the Redis servers, with `REDIS_SENTINELS`."),
  redisPassword: optional(
    "REDIS_PASSWORD",
    Kind.secret,
    "Password of the Redis servers, with `REDIS_SENTINELS`. Never logged."
  ),
  redisSentinelUsername: optional("REDIS_SENTINEL_USERNAME", Kind.text, "User of the Sentinels."),
  redisSentinelPassword: optional(
    "REDIS_SENTINEL_PASSWORD",
    Kind.secret,
    "Password of the Sentinels. Never logged. `REDIS_PASSWORD` is not used for them."
  ),
  redisTls: withDefault(
    "REDIS_TLS",
    Kind.boolean,
    "false",
    "With `REDIS_SENTINELS`: connect to them and to the Redis servers with TLS."
  ),
  redisCaFile: optional(
    "REDIS_CA_FILE",
    Kind.pemFile,
    "CAs of the Redis servers, with `rediss://` or `REDIS_TLS`. Unset: the public ones."
  ),
  redisKeyPrefix: withDefault(
    "REDIS_KEY_PREFIX",
    Kind.keyPrefix,
    "kube-resource-api",
    "Prefix of all Redis keys; a different one for each release and each cluster."
  ),
  watcherLease: withDefault("WATCHER_LEASE", Kind.lease, "15s", "Leader lease duration, with `CACHE=redis`.")
}

/** Authorization. */
export const authorization = {
  authorization: optional(
    "AUTHORIZATION",
    Kind.oneOf("policy", "kubernetes"),
    "Authorizer: `POLICY_FILE` or the cluster's RBAC. Unset: `policy` if `POLICY_FILE` is set, else `kubernetes`."
  ),
  policyFile: optional(
    "POLICY_FILE",
    Kind.yamlFile,
    "Authorization policy (docs/authorization.md). Reloaded when it changes."
  ),
  authorizationCacheAllow: withDefault(
    "AUTHORIZATION_CACHE_ALLOW",
    Kind.duration,
    "5m",
    "How long an allow of the cluster's RBAC is cached. 0s: not at all."
  ),
  authorizationCacheDeny: withDefault(
    "AUTHORIZATION_CACHE_DENY",
    Kind.duration,
    "30s",
    "How long a deny of the cluster's RBAC is cached. 0s: not at all."
  ),
  authorizationDeniedGroups: withDefault(
    "AUTHORIZATION_DENIED_GROUPS",
    Kind.groupPatterns,
    "kubeadm:*,eks:*,gke:*,aks:*",
    "Groups denied everything with `AUTHORIZATION=kubernetes`, besides `system:*`: only the cluster's own CA may grant them."
  ),
  authorizationCacheSize: withDefault(
    "AUTHORIZATION_CACHE_SIZE",
    Kind.integer(1, 1_000_000),
    "10000",
    "Maximum cached allows, and maximum cached denies."
  )
}
