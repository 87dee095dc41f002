/** Identifies a cluster: instances share a cache only if they serve the same one. */
import { Context, Effect, Layer, Schema } from "effect"

/** The identity of a cluster. */
export const Identity = Schema.Struct({
  /** The UID of the namespace `kube-system`; absent if it is not known. */
  uid: Schema.optionalKey(Schema.NonEmptyString.check(Schema.isMaxLength(64))),
  /** A hash of the API server's address and CA. */
  endpoint: Schema.String.check(Schema.isPattern(/^[0-9a-f]{32}$/))
})
export interface Identity extends Schema.Schema.Type<typeof Identity> {}

/** The UIDs decide if both are known, otherwise the endpoints. */
export const isSame = (a: Identity, b: Identity): boolean =>
  a.uid === undefined || b.uid === undefined ? a.endpoint === b.endpoint : a.uid === b.uid

/** A short text for the log. */
export const describe = ({ endpoint, uid }: Identity): string => {
  const short = (text: string) => text.slice(0, 8)
  return `${uid === undefined ? "" : `uid ${short(uid)}, `}endpoint ${short(endpoint)}`
}

/** The identity of the cluster that this instance serves. */
export class ClusterIdentity extends Context.Service<
  ClusterIdentity,
  {
    /** The identity so far. Waits only for the first request, so it has no UID while the cluster is unreachable. */
    readonly current: Effect.Effect<Identity>
    /** Waits until the cluster has answered. */
    readonly determined: Effect.Effect<Identity>
  }
>()("kube-resource-api/model/ClusterIdentity") {}

/** A known identity. */
export const layerOf = (identity: Identity): Layer.Layer<ClusterIdentity> =>
  Layer.succeed(ClusterIdentity, { current: Effect.succeed(identity), determined: Effect.succeed(identity) })
