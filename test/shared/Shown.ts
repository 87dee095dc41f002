import { Schema } from "effect"
import * as View from "../../src/cache/ClusterView.ts"
import * as ViewReads from "../../src/cache/ViewReads.ts"
import { NamespaceReplicaCounts } from "../../src/contract/Bodies.ts"

const decodeCounts = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(NamespaceReplicaCounts)))

const byPath = ([a]: readonly [string, number], [b]: readonly [string, number]) => (a < b ? -1 : 1)

/** Namespaces, and replica counts by path. */
export interface Shown {
  readonly namespaces: ReadonlyArray<string>
  readonly counts: ReadonlyArray<readonly [path: string, replicas: number]>
}

/** What a view shows, in order. */
export const shown = (view: View.ClusterView): Shown => {
  const body = ViewReads.allReplicaCountsBody(view)
  const namespaces = decodeCounts(typeof body === "string" ? body : Buffer.from(body).toString())
  return {
    namespaces: namespaces.map(({ namespace }) => String(namespace)).toSorted(),
    counts: namespaces
      .flatMap(({ deployments, namespace }) =>
        deployments.map(
          ({ deployment, replica_count }) => [`${namespace}/${deployment}`, Number(replica_count)] as const
        )
      )
      .toSorted(byPath)
  }
}

/** The same of a scripted cluster. */
export const truth = ({
  deployments,
  namespaces
}: {
  readonly namespaces: ReadonlySet<string>
  readonly deployments: ReadonlyMap<string, { readonly replicas: number }>
}): Shown => ({
  namespaces: [...namespaces].toSorted(),
  counts: Array.from(deployments, ([path, { replicas }]) => [path, replicas] as const).toSorted(byPath)
})

/** The time that a change takes to reach the leader on a busy machine. Nobody knows of it before. */
const deliveryMillis = 250

/** Collects what is wrong as a view changes: it is never empty, no deployment goes back, and no age is too small. */
export const makeWatchdog = () => {
  const violations: Array<string> = []
  const highest = new Map<string, number>()
  const gone = new Set<string>()
  const check = ({ counts, namespaces }: Shown, after: string) => {
    if (namespaces.length === 0 || counts.length === 0) violations.push(`empty after ${after}`)
    const present = new Map<string, number>(counts)
    for (const [path, replicas] of present) {
      const before = highest.get(path) ?? 0
      // Each change has a count of its own, so a deployment that returns after its deletion with an old count is old.
      if (replicas < before || (replicas === before && gone.has(path))) {
        violations.push(`${path} went back to ${replicas} from ${before} after ${after}`)
      }
      highest.set(path, replicas)
      gone.delete(path)
    }
    for (const path of highest.keys()) if (!present.has(path)) gone.add(path)
  }
  /** `outdated`: how long ago the shown state was outdated, in milliseconds. */
  const checkAge = (outdated: number | undefined, age: number, after: string) => {
    if (outdated === undefined) violations.push(`a state that never was after ${after}`)
    else if (outdated > 1000 * (age + 1) + deliveryMillis)
      violations.push(`Age ${age} instead of ${outdated / 1000} after ${after}`)
  }
  return { violations, check, checkAge }
}

/** The states of a cluster with their times, in milliseconds. */
export class History {
  /** For each object its states, and since when it has had them. Without a count it does not exist. */
  readonly #states = new Map<string, Array<{ readonly count: number | undefined; readonly since: number }>>()

  /** The cluster has this state from now on. */
  record(state: Shown, now: number): void {
    const counts = byKey(state)
    for (const key of this.#states.keys()) if (!counts.has(key)) this.#put(key, undefined, now)
    for (const [key, count] of counts) this.#put(key, count, now)
  }

  /** How long ago the object of the state that was outdated first was outdated; undefined if a part of it never was. */
  ageOf(state: Shown, now: number): number | undefined {
    const counts = byKey(state)
    const ages = Array.from(new Set([...counts.keys(), ...this.#states.keys()]), (key) => {
      const states = this.#states.get(key) ?? []
      const at = states.findLastIndex(({ count }) => count === counts.get(key))
      // An object that was created later was absent before.
      const next = at === -1 && !counts.has(key) ? states[0] : states[at + 1]
      return at === -1 && counts.has(key) ? NaN : next === undefined ? 0 : now - next.since
    })
    const age = Math.max(0, ...ages)
    return Number.isNaN(age) ? undefined : age
  }

  #put(key: string, count: number | undefined, since: number): void {
    const states = this.#states.get(key) ?? []
    if (states.length === 0) this.#states.set(key, states)
    if (states.length === 0 || states.at(-1)?.count !== count) states.push({ count, since })
  }
}

const byKey = ({ counts, namespaces }: Shown): ReadonlyMap<string, number> =>
  new Map([...namespaces.map((name) => [name, 1] as const), ...counts])
