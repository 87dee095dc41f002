/**
 * The names of the keys in Redis. What stands in braces is what a Redis Cluster places keys by, so that all of one release
 * are in one place and a script can use them together.
 */
export interface Keys {
  /** The leader's token, which goes with its lease. */
  readonly lease: string
  /** The epoch of the last leader. */
  readonly epoch: string
  /** The log, a stream. */
  readonly events: string
  /** A hash: for each scope the key of the hash that holds its objects; and what is watched. */
  readonly scopes: string
  /** The hash of a scope's objects: a new one for each list. */
  readonly generation: (scope: string, epoch: number, number: number) => string
  /** Whether a key can be one that `generation` gives. */
  readonly isGeneration: (key: string) => boolean
}

/** The field of `scopes` that holds what the last leader watches, in JSON. */
export const watchedField = "#watched"

/** The fields of a generation that hold no object. Without the first a hash is not what it was. */
export const metaFields = {
  epoch: "#epoch",
  number: "#number",
  version: "#version",
  heardAt: "#heardAt",
  live: "#live"
} as const

/** How what is in the keys is written: another number, where that changes, keeps the instances of a roll-out apart. */
const format = 1

const generationName = /^(?:namespaces|deployments(?:\/[a-z0-9-]{1,63})?):[0-9]{1,15}:[0-9]{1,15}$/

/** The keys of one release. */
export const keysOf = (prefix: string): Keys => {
  const key = (name: string) => `{${prefix}}:v${format}:${name}`
  return {
    lease: key("lease"),
    epoch: key("epoch"),
    events: key("events"),
    scopes: key("scopes"),
    generation: (scope, epoch, number) => key(`${scope}:${epoch}:${number}`),
    isGeneration: (other) => other.startsWith(key("")) && generationName.test(other.slice(key("").length))
  }
}
