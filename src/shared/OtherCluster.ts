import { describe, type Identity } from "../model/ClusterIdentity.ts"
import { keysOf } from "./redis/Keys.ts"

/** The log entry for a Redis that holds the state of another cluster than this instance serves. */
export const otherCluster = (keyPrefix: string, serves: Identity, found: Identity) => ({
  message:
    "Redis holds the state of another cluster, so it is not used: " +
    "set another REDIS_KEY_PREFIX for each cluster, or delete the keys if the cluster was replaced",
  annotations: { serves: describe(serves), found: describe(found), keys: keysOf(keyPrefix).all }
})
