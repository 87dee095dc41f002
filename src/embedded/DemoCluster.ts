import { Effect, type FileSystem, Layer, type Path } from "effect"
import { randomBytes } from "node:crypto"
import * as KubeConfig from "../kube/KubeConfig.ts"
import type { SettingError } from "../settings/SettingError.ts"
import { demoAccess } from "./Access.ts"
import { EmbeddedKube, type ListenFailed } from "./EmbeddedKube.ts"
import { demoSeed } from "./Seed.ts"
import { loadSeed } from "./SeedFile.ts"

/**
 * The demo cluster in this process, with the content of the file `seed` or the demo's own content. The service connects
 * to its socket as to any other cluster, with a random token.
 */
export const layer = (
  seed: string | undefined
): Layer.Layer<
  KubeConfig.KubeConfig,
  SettingError | ListenFailed | KubeConfig.KubeConfigError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const content = seed === undefined ? demoSeed : yield* loadSeed(seed)
      const token = randomBytes(16).toString("hex")
      return Layer.unwrap(Effect.map(EmbeddedKube, ({ url }) => KubeConfig.layerEndpoint({ url, token }))).pipe(
        Layer.provide(EmbeddedKube.layer({ seed: content, tokens: [token], decideAccess: demoAccess }))
      )
    })
  )
