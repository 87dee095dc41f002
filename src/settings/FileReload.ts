import {
  Cause,
  Clock,
  Duration,
  Effect,
  Exit,
  FileSystem,
  Metric,
  Option,
  Path,
  Result,
  type Scope,
  Stream
} from "effect"

/** How changes of files are detected. */
export interface FileReloadOptions {
  /** The polling interval, for file systems that do not notify. Default: 5 seconds. */
  readonly pollEvery?: Duration.Input | undefined
  /** How long a folder must be quiet after a change, so that files written in sequence are read together. Default: 100 ms. */
  readonly settle?: Duration.Input | undefined
  /**
   * The retry interval for unchanged files that could not be loaded: a certificate may become valid, a read error may pass.
   * Default: 1 minute.
   */
  readonly retryEvery?: Duration.Input | undefined
}

/** A value loaded from files, and its later values. */
export interface Reloading<A, E> {
  readonly first: A
  /**
   * One result for each change of the files' contents, and one when contents that could not be loaded have been after all.
   * It neither fails nor ends.
   */
  readonly later: Stream.Stream<Result.Result<A, E>>
}

type Contents = ReadonlyArray<string | undefined>

const same = (a: Contents, b: Contents): boolean => a.every((text, at) => text === b[at])

/**
 * Loads a value from files, and loads it again whenever their contents change: written in place, renamed over, or swapped
 * with their folder by one symbolic link, as Kubernetes does with Secrets and ConfigMaps. Fails if the first `load` fails.
 * A later failure is a result; a later defect is logged, and the previous value stays.
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
  // Watches the folders: a watch of a file ends when the file is replaced.
  const folders = [...new Set(paths.map((file) => path.dirname(path.resolve(file))))]
  const notified = Stream.mergeAll(
    folders.map((folder) => Stream.catch(fileSystem.watch(folder), () => Stream.empty)),
    { concurrency: "unbounded" }
  ).pipe(Stream.debounce(options.settle ?? "100 millis"))

  // Read before the load, so that a change during the load is detected after it.
  let seen = yield* contents
  const first = yield* load
  /** The last time that the contents could not be loaded, in milliseconds since the epoch. */
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
    yield* Effect.logError("Changed files could not be loaded; the previous ones stay in use", exit.cause).pipe(
      Effect.annotateLogs({ files: paths })
    )
    return []
  })
  const later = Stream.merge(notified, Stream.tick(options.pollEvery ?? "5 seconds")).pipe(
    Stream.mapEffect(() => step),
    Stream.flatMap((results: ReadonlyArray<Result.Result<A, E>>) => Stream.fromIterable(results))
  )
  return { first, later }
})

/** Applies later values in the background, and counts them by outcome in a counter with the attribute `outcome`. */
export const applyLater = Effect.fnUntraced(function* <A, E>(
  { later }: Pick<Reloading<A, E>, "later">,
  counter: Metric.Counter<number>,
  apply: {
    readonly accepted: (value: A) => Effect.Effect<void>
    readonly refused: (error: E) => Effect.Effect<void>
  }
): Effect.fn.Return<void, never, Scope.Scope> {
  const accepted = Metric.withAttributes(counter, { outcome: "accepted" })
  const refused = Metric.withAttributes(counter, { outcome: "refused" })
  // A series must exist before its first event, or `increase()` misses that event.
  yield* Metric.update(accepted, 0)
  yield* Metric.update(refused, 0)
  yield* Effect.forkScoped(
    Stream.runForEach(
      later,
      Result.match({
        onSuccess: (value) => Effect.andThen(Metric.update(accepted, 1), apply.accepted(value)),
        onFailure: (error) => Effect.andThen(Metric.update(refused, 1), apply.refused(error))
      })
    )
  )
})
