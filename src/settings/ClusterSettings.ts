/** Settings of the cluster, the cache of its state, and authorization. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The cluster that is served. */
export const cluster = {
  kubeSource: withDefault(
    "KUBE_SOURCE",
    Kind.oneOf("auto", "in-cluster", "kubeconfig", "embedded"),
    "auto",
    "Source of the cluster's address and credentials: `in-cluster` (service account), `kubeconfig`, `embedded` (the demo cluster inside the process), or `auto`: in-cluster if there is a service account, else kubeconfig."
  ),
  kubeconfig: optional("KUBECONFIG", Kind.text, "Kubeconfig file. Unset: `~/.kube/config`."),
  kubeContext: optional("KUBE_CONTEXT", Kind.text, "Kubeconfig context. Unset: the current one."),
  kubeNamespaces: optional(
    "KUBE_NAMESPACES",
    Kind.namespaces,
    "Namespaces to serve, if the service has only a Role in each (`list` and `watch` on deployments, `patch` on deployments/scale, `get` on the namespace). Unset: the whole cluster."
  ),
  readyMaxStaleness: optional(
    "READY_MAX_STALENESS",
    Kind.duration,
    "Age of the cluster state beyond which `/readyz` answers 503. Unset: never, since a stale read beats none."
  )
}

/** The cache, and the Redis server that instances may share it through. */
export const cache = {
  cache: withDefault(
    "CACHE",
    Kind.oneOf("memory", "redis"),
    "memory",
    "Source of the cluster state: `memory`: each instance lists and watches the cluster; `redis`: one leader does, and the others read its state from `REDIS_URL`."
  ),
  role: withDefault(
    "ROLE",
    Kind.oneOf("all", "watcher", "server"),
    "all",
    "Role with `CACHE=redis`: `server` serves clients and never lists or watches; `watcher` stands for leader and serves only probes and metrics; `all` does both."
  ),
  redisUrl: optional(
    "REDIS_URL",
    Kind.redisUrl,
    "Redis server, with user and password if it needs them; never logged. Required with `CACHE=redis`."
  ),
  redisCaFile: optional(
    "REDIS_CA_FILE",
    Kind.pemFile,
    "With `rediss://`, the certificate authorities that issue the Redis server's certificate. Unset: the public ones."
  ),
  redisKeyPrefix: withDefault(
    "REDIS_KEY_PREFIX",
    Kind.keyPrefix,
    "kube-resource-api",
    "Prefix of the keys in Redis. Releases that share a Redis server need different ones."
  ),
  watcherLease: withDefault(
    "WATCHER_LEASE",
    Kind.lease,
    "15s",
    "Leader lease duration with `CACHE=redis`: a leader that is silent for longer is replaced."
  )
}

/** Authorization. */
export const authorization = {
  authorization: optional(
    "AUTHORIZATION",
    Kind.oneOf("policy", "kubernetes"),
    "Authorizer: `policy` (the rules in `POLICY_FILE`) or `kubernetes` (the cluster's RBAC, asked for the certificate's user and groups). Unset: `policy` if `POLICY_FILE` is set, else `kubernetes`."
  ),
  policyFile: optional(
    "POLICY_FILE",
    Kind.policyFile,
    "Policy file, in the format of docs/authorization.md. It is read again when it changes."
  ),
  authorizationCacheAllow: withDefault(
    "AUTHORIZATION_CACHE_ALLOW",
    Kind.duration,
    "5m",
    "How long the cluster's allow is cached; 0s asks for each request."
  ),
  authorizationCacheDeny: withDefault(
    "AUTHORIZATION_CACHE_DENY",
    Kind.duration,
    "30s",
    "How long the cluster's deny is cached; 0s asks for each request."
  ),
  authorizationCacheSize: withDefault(
    "AUTHORIZATION_CACHE_SIZE",
    Kind.integer(1, 1_000_000),
    "10000",
    "How many allows, and how many denies, are cached; beyond it the oldest is evicted."
  )
}
