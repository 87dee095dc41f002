import { Effect, type FileSystem, type Path, Schema, SchemaTransformation } from "effect"
import { DeploymentName, NamespaceName, ReplicaCount } from "../contract/Names.ts"
import type { SettingError } from "../settings/SettingError.ts"
import { settings } from "../settings/Settings.ts"
import * as YamlFile from "../settings/YamlFile.ts"
import type { Seed } from "./Seed.ts"

/** The largest seed file, in bytes: some 50,000 deployments. */
export const maxSeedBytes = 1_048_576

const Deployments = Schema.Record(DeploymentName, ReplicaCount).annotate({
  messageUnexpectedKey: `this can name no deployment: at most 253 lower-case letters, digits, "-" and "."`
})

/** The deployments of a namespace. A key without a value is YAML's null. */
const DeploymentsOrNone = Schema.NullOr(Deployments)
  .annotate({ expected: "a mapping" })
  .pipe(
    Schema.decodeTo(
      Schema.toType(Deployments),
      SchemaTransformation.transform({
        decode: (deployments): typeof Deployments.Type => deployments ?? {},
        encode: (deployments) => deployments
      })
    )
  )

/** The initial content of the embedded cluster: namespaces, their deployments, and the replica count of each. */
export const SeedFile = Schema.Struct({
  namespaces: Schema.Record(NamespaceName, DeploymentsOrNone).annotate({
    messageUnexpectedKey: `this can name no namespace: at most 63 lower-case letters, digits and "-"`
  })
})

const { decode, load } = YamlFile.make(SeedFile, maxSeedBytes)

/** Decodes a seed file from YAML or JSON. Each problem names line and column. */
export const decodeSeed = decode

/** Reads and decodes the file of `EMBEDDED_SEED`. */
export const loadSeed = (file: string): Effect.Effect<Seed, SettingError, FileSystem.FileSystem | Path.Path> =>
  load(file).pipe(
    Effect.map(({ namespaces }) => namespaces),
    Effect.mapError(YamlFile.cannotStart(settings.embeddedSeed, file, "docs/testing.md describes the format."))
  )
