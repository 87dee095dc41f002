import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, FileSystem, Queue, Result, Schema, Stream } from "effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { reloading } from "../../src/settings/FileReload.ts"
import { eventually } from "../support/Eventually.ts"

class Bad extends Schema.TaggedError<Bad>()("Bad", { text: Schema.String }) {}

/** Whether the load accepts contents that it rejected before, and the number of loads. */
const loading = { acceptsBad: false, count: 0 }

/** Waits for `more` loads. */
const untilLoads = (more: number) =>
  Effect.suspend(() => {
    const enough = loading.count + more
    return eventually(
      () => loading.count,
      (count) => count >= enough
    )
  })

/** The first value loaded from `files` in a new folder, and the later results. */
const followed = Effect.fnUntraced(function* (
  prepare: (folder: string) => Effect.Effect<ReadonlyArray<string>, unknown, FileSystem.FileSystem>,
  pollEvery: Duration.Input = "1 hour"
) {
  const fileSystem = yield* FileSystem.FileSystem
  const folder = yield* fileSystem.makeTempDirectoryScoped()
  const files = yield* Effect.orDie(prepare(folder))
  const load = Effect.forEach(files, (file) => Effect.orDie(fileSystem.readFileString(file))).pipe(
    Effect.map((texts) => texts.join("+")),
    Effect.flatMap((text) => {
      loading.count++
      if (text.includes("defect")) return Effect.die(new Error(text))
      return text.includes("bad") && !loading.acceptsBad ? Effect.fail(new Bad({ text })) : Effect.succeed(text)
    })
  )
  const { first, later } = yield* reloading(files, load, { pollEvery, settle: "20 millis", retryEvery: "50 millis" })
  const queue = yield* Queue.unbounded<string>()
  yield* Effect.forkScoped(
    Stream.runForEach(later, (result) =>
      Queue.offer(
        queue,
        Result.match(result, { onSuccess: (text) => text, onFailure: ({ text }) => `refused ${text}` })
      )
    )
  )
  // The file system does not report when it has started to watch.
  yield* Effect.sleep(50)
  /** Renames a file over `a`: a poll could read a file that is written in place while it is still empty. */
  const replace = (text: string) =>
    Effect.andThen(fileSystem.writeFileString(`${folder}/new`, text), fileSystem.rename(`${folder}/new`, `${folder}/a`))
  return { fileSystem, folder, first, next: Queue.take(queue), replace, seen: Queue.size(queue) }
})

describe("reloading", () => {
  it.live("loads files that are written in place", () =>
    Effect.gen(function* () {
      const { fileSystem, first, folder, next } = yield* followed((folder) =>
        Effect.gen(function* () {
          const fileSystem = yield* FileSystem.FileSystem
          yield* fileSystem.writeFileString(`${folder}/a`, "one")
          return [`${folder}/a`]
        })
      )
      assert.strictEqual(first, "one")
      yield* fileSystem.writeFileString(`${folder}/a`, "two")
      assert.strictEqual(yield* next, "two")
      yield* fileSystem.writeFileString(`${folder}/a`, "bad")
      assert.strictEqual(yield* next, "refused bad")
      yield* fileSystem.writeFileString(`${folder}/a`, "three")
      assert.strictEqual(yield* next, "three")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  const one = (folder: string) =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      yield* fileSystem.writeFileString(`${folder}/a`, "one")
      return [`${folder}/a`]
    })

  it.live("retries contents that could not be loaded, and reports them once", () =>
    Effect.gen(function* () {
      const { next, replace, seen } = yield* followed(one, "20 millis")
      yield* replace("bad for now")
      assert.strictEqual(yield* next, "refused bad for now")
      yield* untilLoads(3)
      assert.strictEqual(yield* seen, 0)
      loading.acceptsBad = true
      assert.strictEqual(yield* next, "bad for now")
      yield* replace("two")
      assert.strictEqual(yield* next, "two")
    }).pipe(Effect.ensuring(Effect.sync(() => (loading.acceptsBad = false))), Effect.provide(NodeServices.layer))
  )

  it.live("loads the next good contents after a defect", () =>
    Effect.gen(function* () {
      const { next, replace } = yield* followed(one, "20 millis")
      yield* replace("a defect")
      yield* untilLoads(1)
      yield* replace("two")
      assert.strictEqual(yield* next, "two")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("loads two files once that Kubernetes swaps by one symbolic link", () =>
    Effect.gen(function* () {
      const { fileSystem, first, folder, next } = yield* followed((folder) =>
        Effect.gen(function* () {
          const fileSystem = yield* FileSystem.FileSystem
          for (const version of ["1", "2", "3"]) {
            yield* fileSystem.makeDirectory(`${folder}/..${version}`)
            for (const name of ["a", "b"]) {
              yield* fileSystem.writeFileString(`${folder}/..${version}/${name}`, `${name}${version}`)
            }
          }
          yield* fileSystem.symlink("..1", `${folder}/..data`)
          for (const name of ["a", "b"]) yield* fileSystem.symlink(`..data/${name}`, `${folder}/${name}`)
          return [`${folder}/a`, `${folder}/b`]
        })
      )
      assert.strictEqual(first, "a1+b1")
      for (const version of ["2", "3"]) {
        yield* fileSystem.symlink(`..${version}`, `${folder}/..data_tmp`)
        yield* fileSystem.rename(`${folder}/..data_tmp`, `${folder}/..data`)
        assert.strictEqual(yield* next, `a${version}+b${version}`)
      }
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("loads at the next poll on a file system that does not notify", () =>
    Effect.gen(function* () {
      const { fileSystem, folder, next } = yield* followed(
        (folder) =>
          Effect.gen(function* () {
            const fileSystem = yield* FileSystem.FileSystem
            yield* fileSystem.makeDirectory(`${folder}/elsewhere`)
            yield* fileSystem.writeFileString(`${folder}/elsewhere/a`, "one")
            // The link's own folder is watched, and never changes.
            yield* fileSystem.makeDirectory(`${folder}/links`)
            yield* fileSystem.symlink(`${folder}/elsewhere/a`, `${folder}/links/a`)
            return [`${folder}/links/a`]
          }),
        "20 millis"
      )
      yield* fileSystem.writeFileString(`${folder}/elsewhere/a`, "two")
      assert.strictEqual(yield* next, "two")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
