import type { DeploymentObject } from "../model/ReadModel.ts"
import * as ContentTag from "./ContentTag.ts"
import type { Rendering } from "./SortedBlocks.ts"

/** A deployment of the view. */
export interface DeploymentEntry extends DeploymentObject {
  /** The rendered body with its replica count. */
  readonly body: string
  /** The entity tag of the body. */
  readonly etag: string
  /** The digests of this entry in lists of names and in lists of counts. */
  readonly nameDigest: ContentTag.Digest
  readonly countDigest: ContentTag.Digest
  /** Whether it comes from a write that no list or watch event has confirmed yet. */
  readonly written: boolean
}

/** The entry for `object`. Reuses the strings of `held`, the entry that it replaces. */
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
        etag: ContentTag.ofReplicas(replicas),
        nameDigest: ContentTag.ofDeployment(namespace, name),
        countDigest: ContentTag.ofCount(namespace, name, replicas),
        written
      }
    : {
        namespace: held.namespace,
        name: held.name,
        replicas,
        resourceVersion,
        body: held.replicas === replicas ? held.body : bodyOf(namespace, name, replicas),
        etag: ContentTag.ofReplicas(replicas),
        nameDigest: held.nameDigest,
        countDigest: held.replicas === replicas ? held.countDigest : ContentTag.ofCount(namespace, name, replicas),
        written
      }

// JSON.stringify makes a flat string. A template literal would keep a tree of its parts alive.
const bodyOf = (namespace: string, deployment: string, replica_count: number): string =>
  JSON.stringify({ namespace, deployment, replica_count })

/** The text of a block of deployments for lists. DNS-1123 names need no escaping. */
export interface DeploymentsText {
  /** Names, between `["` and `"]`, with `","` between blocks. */
  readonly names: string
  /** Names with their replica counts, between `[{` and `]`, with `,{` between blocks. */
  readonly counts: string
}

const namesOf = (entries: ReadonlyArray<DeploymentEntry>): string => entries.map(({ name }) => name).join('","')

// An item of the list is a deployment's body without the namespace, which is its first member.
const countsOf = (entries: ReadonlyArray<DeploymentEntry>): string =>
  entries.map(({ namespace, body }) => body.slice(namespace.length + '{"namespace":"",'.length)).join(",{")

/** Renders blocks of deployments. */
export const deploymentsRendering: Rendering<DeploymentEntry, DeploymentsText> = {
  render: (entries) => ({ names: namesOf(entries), counts: countsOf(entries) }),
  rerender: (text, entries, held, next) =>
    held.replicas === next.replicas ? text : { names: text.names, counts: countsOf(entries) }
}
