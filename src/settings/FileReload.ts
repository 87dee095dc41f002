import { Cause, Clock, Duration, Effect, Exit, FileSystem, Option, Path, Result, Stream } from "effect"

/** How changes of files are noticed. */
export interface FileReloadOptions {
  /** How often the files are read anyway, for file systems that tell of no changes. Default: 5 seconds. */
  readonly pollEvery?: Duration.Input | undefined
  /** How long a folder must be quiet after a change, so that files written one after the other are read together. Default: 100 milliseconds. */
  readonly settle?: Duration.Input | undefined
  /**
   * How often files that could not be loaded are tried again as they are: a certificate that is not valid yet will be, and
   * trouble with reading passes. Default: 1 minute.
   */
  readonly retryEvery?: Duration.Input | undefined
}

/** What was made of some files, and what is made of them later. */
export interface Reloading<A, E> {
  readonly first: A
  /**
   * One result for each time that the files' contents differ from the time before, and one when contents that could not be
   * loaded have been after all. It neither fails nor ends.
   */
  readonly later: Stream.Stream<Result.Result<A, E>>
}

type Contents = ReadonlyArray<string | undefined>

const same = (a: Contents, b: Contents): boolean => a.every((text, at) => text === b[at])

/**
 * Loads something from files, and again whenever one of them has other contents: written in place, renamed over, or
 * swapped with all the rest of its folder by one symbolic link, as Kubernetes does with Secrets and ConfigMaps. Fails
 * where the first `load` does; a later failure is a result like any other, and a later defect is logged: what was loaded
 * before stays what there is.
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
  const retryMillis = Duration.toMillis(options.retryEvery ?? "1 minute")
  // A folder and not its files is what is watched: a file that is replaced takes its watch with it.
  const folders = [...new Set(paths.map((file) => path.dirname(path.resolve(file))))]
  const told = Stream.mergeAll(
    folders.map((folder) => Stream.catch(fileSystem.watch(folder), () => Stream.empty)),
    { concurrency: "unbounded" }
  ).pipe(Stream.debounce(options.settle ?? "100 millis"))

  // Taken before the load: what changes during it is noticed after it.
  let seen = yield* contents
  const first = yield* load
  /** When contents that could not be loaded were tried last, in milliseconds since the epoch. */
  let failedAt: number | undefined

  const loaded = Effect.exit(Effect.provideContext(load, services))
  const step = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const found = yield* contents
    const changed = !same(found, seen)
    if (!changed && (failedAt === undefined || now - failedAt < retryMillis)) return []
    seen = found
    const exit = yield* loaded
    failedAt = Exit.isSuccess(exit) ? undefined : now
    if (Exit.isSuccess(exit)) return [Result.succeed(exit.value)]
    const error = Cause.findErrorOption(exit.cause)
    if (Option.isSome(error)) return changed ? [Result.fail(error.value)] : []
    yield* Effect.logError("Changed files could not be loaded; what was loaded before stays in use", exit.cause).pipe(
      Effect.annotateLogs({ files: paths })
    )
    return []
  })
  const later = Stream.merge(told, Stream.tick(options.pollEvery ?? "5 seconds")).pipe(
    Stream.mapEffect(() => step),
    Stream.flatMap((results: ReadonlyArray<Result.Result<A, E>>) => Stream.fromIterable(results))
  )
  return { first, later }
})
