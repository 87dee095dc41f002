/**
 * Entity tags of lists. A tag depends only on the content of a list. All instances compute the same tag, after a restart,
 * in both cache modes and for any layout of the blocks.
 *
 * The digest of a list is the sum of the SHA-256 digests of its entries, modulo 2^256 (AdHash, Bellare and Micciancio
 * 1997). A change subtracts one digest and adds another, so its cost does not depend on the length of the list.
 *
 * The modulus is wide because users choose the names of deployments, and a collision of sums would hide a change from a
 * consumer. A collision takes about 2^32 steps with 65,536 deployments (Wagner's generalized birthday attack).
 */
import { hash } from "node:crypto"

/** The sum of the digests of entries, an unsigned integer of 256 bits. */
export type Digest = bigint

const bits = 256

/** The digest of an empty list. */
export const nothing: Digest = 0n

const digestOf = (text: string): Digest => BigInt(`0x${hash("sha256", text, "hex")}`)

/** The digest of a namespace's existence. */
export const ofNamespace = (namespace: string): Digest => digestOf(namespace)

/** The digest of a deployment's existence. No name contains a slash. */
export const ofDeployment = (namespace: string, name: string): Digest => digestOf(`${namespace}/${name}`)

/** The digest of a deployment with its replica count. No name contains an equals sign. */
export const ofCount = (namespace: string, name: string, replicas: number): Digest =>
  digestOf(`${namespace}/${name}=${replicas}`)

/** `sum` with `added` and without `removed`. */
export const changed = (sum: Digest, added: Digest, removed: Digest = nothing): Digest =>
  BigInt.asUintN(bits, sum + added - removed)

/** The strong entity tag of a list. */
export const ofList = (digest: Digest): string => `"${digest.toString(32)}"`

const counts = Array.from({ length: 1024 }, (_, count) => `"${count}"`)

/** The strong entity tag of a single replica count: the count. The tags of small counts are shared to save memory. */
export const ofReplicas = (replicas: number): string => counts[replicas] ?? `"${replicas}"`
