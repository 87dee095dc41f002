import { Effect, Layer } from "effect"
import { randomBytes } from "node:crypto"
import * as KubeConfig from "../kube/KubeConfig.ts"
import { demoAccess } from "./Access.ts"
import { EmbeddedKube } from "./EmbeddedKube.ts"
import { demoSeed } from "./Seed.ts"

/** The demo cluster in this process. The service connects to its socket as to any other cluster, with a random token. */
export const layer = Layer.suspend(() => {
  const token = randomBytes(16).toString("hex")
  return Layer.unwrap(Effect.map(EmbeddedKube, ({ url }) => KubeConfig.layerEndpoint({ url, token }))).pipe(
    Layer.provide(EmbeddedKube.layer({ seed: demoSeed, tokens: [token], decideAccess: demoAccess }))
  )
})
