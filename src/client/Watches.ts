/** The streams of states, one for each read. */
import type { HttpApiClient } from "effect/http-api"
import * as Reads from "../contract/Reads.ts"
import type { InNamespace, Named, OfDeployment } from "./Requests.ts"
import { type Resumption, states } from "./StateStream.ts"

/** Makes a method for each read that streams its states. */
export const make = (streams: HttpApiClient.ForApi<typeof Reads.Streams>) => {
  const resuming = (headers: Resumption) => ({ headers, responseMode: "response-only" }) as const
  return {
    watchNamespaces: () => states(Reads.namespaces, (from) => streams.watchNamespaces(resuming(from))),
    watchDeployments: ({ params }: InNamespace) =>
      states(Reads.deployments, (from) => streams.watchDeployments({ params, ...resuming(from) })),
    watchAllDeployments: () => states(Reads.allDeployments, (from) => streams.watchAllDeployments(resuming(from))),
    watchReplicaCount: ({ params }: OfDeployment) =>
      states(Reads.replicaCount, (from) => streams.watchReplicaCount({ params, ...resuming(from) })),
    watchReplicaCounts: ({ params }: InNamespace) =>
      states(Reads.replicaCounts, (from) => streams.watchReplicaCounts({ params, ...resuming(from) })),
    watchAllReplicaCounts: () =>
      states(Reads.allReplicaCounts, (from) => streams.watchAllReplicaCounts(resuming(from))),
    watchFoundReplicaCounts: ({ params }: Named) =>
      states(Reads.foundReplicaCounts, (from) => streams.watchFoundReplicaCounts({ params, ...resuming(from) }))
  }
}
