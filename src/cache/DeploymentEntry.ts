import type { DeploymentObject } from "../model/ReadModel.ts"
import type { Rendering } from "./SortedBlocks.ts"

/** A deployment as the view keeps it. */
export interface DeploymentEntry extends DeploymentObject {
  /** The body that gives its replica count. */
  readonly body: string
  /** Whether it is known only from a write that no list and no watch event has confirmed yet. */
  readonly written: boolean
}

/** The entry for `object`, keeping of `held`, the one in whose place it comes, all that is still right. */
export const entryOf = (
  { namespace, name, replicas, resourceVersion }: DeploymentObject,
  written: boolean,
  held: DeploymentEntry | undefined
): DeploymentEntry =>
  held === undefined
    ? {
        namespace,
        name,
        replicas,
        resourceVersion,
        body: bodyOf(namespace, name, replicas),
        written
      }
    : {
        namespace: held.namespace,
        name: held.name,
        replicas,
        resourceVersion,
        body: held.replicas === replicas ? held.body : bodyOf(namespace, name, replicas),
        written
      }

// JSON.stringify and join give flat strings; a template would leave a tree of its parts behind each body.
const bodyOf = (namespace: string, deployment: string, replica_count: number): string =>
  JSON.stringify({ namespace, deployment, replica_count })

/** What a block of deployments of one namespace adds to the lists. Names need no escape: they are DNS-1123 names. */
export interface DeploymentsText {
  /** Names, between `["` and `"]`, with `","` between blocks. */
  readonly names: string
  /** Names with their replica counts, between `[{` and `]`, with `,{` between blocks. */
  readonly counts: string
}

const namesOf = (entries: ReadonlyArray<DeploymentEntry>): string => entries.map(({ name }) => name).join('","')

// An item of the list is a deployment's own body without its namespace, which comes first in it.
const countsOf = (entries: ReadonlyArray<DeploymentEntry>): string =>
  entries.map(({ namespace, body }) => body.slice(namespace.length + '{"namespace":"",'.length)).join(",{")

/** The rendering of blocks of deployments. */
export const deploymentsRendering: Rendering<DeploymentEntry, DeploymentsText> = {
  render: (entries) => ({ names: namesOf(entries), counts: countsOf(entries) }),
  rerender: (text, entries, held, next) =>
    held.replicas === next.replicas ? text : { names: text.names, counts: countsOf(entries) }
}
