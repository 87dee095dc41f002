import { Effect, FileSystem } from "effect"
import type { Setting } from "./Setting.ts"

/** Reads the PEM file that a setting names. No error quotes the file: it may hold a private key. */
export const readPem = Effect.fnUntraced(function* (
  setting: Setting<string | undefined>,
  path: string | undefined,
  fix = "Name a PEM file that this process can read; `make certs` makes a development set."
) {
  const refuse = (problem: string) => setting.error(path, problem, fix)
  if (path === undefined) return yield* refuse("a PEM file is needed")
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.mapError(fileSystem.readFileString(path), ({ reason }) =>
    refuse(`the file cannot be read (${reason._tag === "NotFound" ? "there is no such file" : reason._tag})`)
  )
})
