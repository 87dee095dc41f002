import { Duration, Effect, FileSystem, Option, Path, Result, Stream } from "effect"

/** How changes of files are noticed. */
export interface FileReloadOptions {
  /** How often the files are read anyway, for file systems that tell of no changes. Default: 5 seconds. */
  readonly pollEvery?: Duration.Input | undefined
  /** How long a folder must be quiet after a change, so that files written one after the other are read together. Default: 100 milliseconds. */
  readonly settle?: Duration.Input | undefined
}

/** What was made of some files, and what is made of them later. */
export interface Reloading<A, E> {
  readonly first: A
  /** One result for each time that the files' contents differ from the time before. It neither fails nor ends. */
  readonly later: Stream.Stream<Result.Result<A, E>>
}

type Contents = ReadonlyArray<string | undefined>

const same = (a: Contents, b: Contents): boolean => a.every((text, at) => text === b[at])

/**
 * Loads something from files, and again whenever one of them has other contents: written in place, renamed over, or
 * swapped with all the rest of its folder by one symbolic link, as Kubernetes does with Secrets and ConfigMaps. Fails
 * where the first `load` does; a later failure is a result like any other.
 */
export const reloading = Effect.fnUntraced(function* <A, E, R>(
  paths: ReadonlyArray<string>,
  load: Effect.Effect<A, E, R>,
  options: FileReloadOptions = {}
): Effect.fn.Return<Reloading<A, E>, E, R | FileSystem.FileSystem | Path.Path> {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const services = yield* Effect.context<R>()

  const contents: Effect.Effect<Contents> = Effect.forEach(paths, (file) =>
    Effect.map(Effect.option(fileSystem.readFileString(file)), Option.getOrUndefined)
  )
  // A folder and not its files is what is watched: a file that is replaced takes its watch with it.
  const folders = [...new Set(paths.map((file) => path.dirname(path.resolve(file))))]
  const told = Stream.mergeAll(
    folders.map((folder) => Stream.catch(fileSystem.watch(folder), () => Stream.empty)),
    { concurrency: "unbounded" }
  ).pipe(Stream.debounce(options.settle ?? "100 millis"))

  // Taken before the load: what changes during it is noticed after it.
  let seen = yield* contents
  const first = yield* load
  const later = Stream.merge(told, Stream.tick(options.pollEvery ?? "5 seconds")).pipe(
    Stream.mapEffect(() => contents),
    Stream.filter((now) => {
      if (same(now, seen)) return false
      seen = now
      return true
    }),
    Stream.mapEffect(() => Effect.result(Effect.provideContext(load, services)))
  )
  return { first, later }
})
