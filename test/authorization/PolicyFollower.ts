/** A policy file in memory, and an authorizer that reloads it. */
import {
  ByteSize,
  Context,
  Effect,
  FileSystem,
  Layer,
  Logger,
  Metric,
  Option,
  Path,
  PlatformError,
  References,
  Stream
} from "effect"
import { assert } from "@effect/vitest"
import { TestClock } from "effect/testing"
import { type Access, Authorization } from "../../src/authorization/Authorization.ts"
import type { Identity } from "../../src/identity/Identity.ts"
import * as PolicyAuthorization from "../../src/authorization/PolicyAuthorization.ts"
import { eventually } from "../support/Eventually.ts"

export const fileName = "/etc/kube-resource-api/policy.yaml"

const infoOf = (text: string): FileSystem.File.Info => ({
  type: "File",
  mtime: Option.none(),
  atime: Option.none(),
  birthtime: Option.none(),
  dev: 0n,
  ino: Option.none(),
  mode: 0o644,
  nlink: Option.none(),
  uid: Option.none(),
  gid: Option.none(),
  rdev: Option.none(),
  size: ByteSize.bytes(Buffer.byteLength(text)),
  blksize: Option.none(),
  blocks: Option.none()
})

/** The metrics, by name and outcome. */
const measured = Effect.map(Metric.snapshot, (all) => (id: string, outcome?: string): number | undefined => {
  const found = all.find((one) => one.id === id && one.attributes?.["outcome"] === outcome)
  return found?.type === "Counter"
    ? Number(found.state.count)
    : found?.type === "Gauge"
      ? Number(found.state.value)
      : undefined
})

/**
 * An authorizer over a file with the text `first`; `undefined`: the file does not exist. The file system does not notify,
 * so each change is found at the next poll. Metrics and log are the test's own.
 */
export const followPolicy = Effect.fnUntraced(function* (first: string | undefined) {
  let text = first
  const reading = <A>(method: string, read: (text: string) => A) =>
    Effect.suspend(() =>
      text === undefined
        ? Effect.fail(PlatformError.systemError({ _tag: "NotFound", module: "FileSystem", method }))
        : Effect.succeed(read(text))
    )
  const logged: Array<{ readonly level: string; readonly message: string; readonly annotations: object }> = []
  const logger = Logger.make<unknown, void>(({ fiber, logLevel, message }) => {
    logged.push({
      level: logLevel,
      message: String(message),
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  const registry = Layer.succeed(Metric.MetricRegistry, new Map())
  const services = yield* Layer.build(
    PolicyAuthorization.layer(fileName).pipe(
      Layer.provide(
        Layer.mergeAll(
          FileSystem.layerNoop({
            readFileString: () => reading("readFileString", (text) => text),
            stat: () => reading("stat", infoOf),
            watch: () => Stream.never
          }),
          Path.layer
        )
      ),
      Layer.provideMerge(Layer.merge(registry, Logger.layer([logger])))
    )
  )
  const authorization = Context.get(services, Authorization)
  const counted = Effect.map(
    Effect.provideContext(measured, services),
    (value) => (value("policy_reloads_total", "accepted") ?? 0) + (value("policy_reloads_total", "refused") ?? 0)
  )
  return {
    /** Whether the access is allowed now. */
    allows: (identity: Identity, access: Access) =>
      Effect.match(authorization.check(identity, access), {
        onFailure: (error) => {
          assert.strictEqual(error._tag, "Unauthorized")
          return false
        },
        onSuccess: () => true
      }),
    /** Whether a write is allowed only with a precondition. */
    requiresIfMatch: authorization.requiresIfMatch,
    /** Writes a different text, and waits until it has been read. */
    write: (next: string | undefined) =>
      Effect.gen(function* () {
        const before = yield* counted
        text = next
        yield* TestClock.adjust("5 seconds")
        yield* eventually(counted, (now) => now > before)
      }),
    measured: Effect.provideContext(measured, services),
    logged
  }
})
