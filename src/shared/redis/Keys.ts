/**
 * The names of the keys in Redis. The braces are a Redis Cluster hash tag: all keys of one release share a slot, so that a
 * script can use them together.
 */
export interface Keys {
  /** The leader's token. It expires with the lease. */
  readonly lease: string
  /** The epoch of the last leader. */
  readonly epoch: string
  /** The shared log, a stream. */
  readonly events: string
  /** A hash: the key of each scope's snapshot, the names of the watched scopes, and the identity of the cluster. */
  readonly scopes: string
  /** The key of a snapshot: a hash of the scope's objects. Each list gets a new one. */
  readonly generation: (scope: string, epoch: number, number: number) => string
  /** A pattern of all keys. */
  readonly all: string
  /** Whether `generation` can have made this key. */
  readonly isGeneration: (key: string) => boolean
}

/** The field of `scopes` that holds the names of the scopes that the last leader watches, as JSON. */
export const watchedField = "#watched"

/** The fields of `scopes` that hold the identity of the cluster that the last leader watches. */
export const clusterFields = { uid: "#clusterUid", endpoint: "#clusterEndpoint" } as const

/** The fields of a snapshot that hold no object. A hash without the first is incomplete. */
export const metaFields = {
  epoch: "#epoch",
  number: "#number",
  version: "#version",
  heardAt: "#heardAt",
  live: "#live"
} as const

/** The version of the format. A change of it separates the releases of a rolling update. */
const format = 2

const generationName = /^(?:namespaces|deployments(?:\/[a-z0-9-]{1,63})?):[0-9]{1,15}:[0-9]{1,15}$/

/** The keys of one release. */
export const keysOf = (prefix: string): Keys => {
  const key = (name: string) => `{${prefix}}:v${format}:${name}`
  return {
    lease: key("lease"),
    epoch: key("epoch"),
    events: key("events"),
    scopes: key("scopes"),
    all: key("*"),
    generation: (scope, epoch, number) => key(`${scope}:${epoch}:${number}`),
    isGeneration: (other) => other.startsWith(key("")) && generationName.test(other.slice(key("").length))
  }
}
