/**
 * Asks Redis Sentinels for the primary.
 *
 * All Sentinels are asked at once, and the answers of a majority suffice. The answer with the highest configuration epoch
 * wins, as it does among the Sentinels: each failover increases it. So a partitioned Sentinel cannot lead to the old primary
 * while the others are reachable.
 */
import { Duration, Effect, Queue, Redacted, Result, Schema, SchemaTransformation } from "effect"
import type { RedisError } from "effect/persistence/Redis"
import { formatHostPort, HostPort } from "../../settings/Kind.ts"
import type * as ClientOptions from "./ClientOptions.ts"
import * as SharedRedis from "./SharedRedis.ts"

/** The Sentinels, and the credentials for them and for the servers that they name. */
export interface Sentinels {
  readonly _tag: "Sentinels"
  readonly sentinels: ReadonlyArray<HostPort>
  /** The name of the primary in their configuration. */
  readonly name: string
  /** Whether the Sentinels and the servers use TLS. */
  readonly tls: boolean
  readonly username?: string | undefined
  readonly password?: Redacted.Redacted<string> | undefined
  readonly sentinelUsername?: string | undefined
  readonly sentinelPassword?: Redacted.Redacted<string> | undefined
}

/** The primary that a Sentinel names, and the epoch of the Sentinel's configuration. */
export interface Primary {
  readonly address: HostPort
  readonly epoch: number
}

const Count = Schema.String.check(Schema.isPattern(/^[0-9]{1,15}$/)).pipe(
  Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: Number, encode: String }))
)
const decodeFields = Schema.decodeUnknownResult(Schema.Array(Schema.String))
const decodeEpoch = Schema.decodeUnknownResult(Count)
const decodeAddress = Schema.decodeUnknownResult(
  Schema.Tuple([Schema.String, Count]).pipe(
    Schema.decodeTo(
      HostPort,
      SchemaTransformation.transform({
        decode: ([host, port]) => ({ host, port }),
        encode: ({ host, port }) => [host, port] as const
      })
    )
  )
)

const url = (
  { tls }: Sentinels,
  address: HostPort,
  username: string | undefined,
  password: Redacted.Redacted<string> | undefined
): Redacted.Redacted<string> => {
  const user = encodeURIComponent(username ?? "")
  const credentials = password === undefined ? "" : `${user}:${encodeURIComponent(Redacted.value(password))}@`
  return Redacted.make(`${tls ? "rediss" : "redis"}://${credentials}${formatHostPort(address)}`)
}

/** The URL of a server that a Sentinel names. */
export const serverUrl = (sentinels: Sentinels, address: HostPort): Redacted.Redacted<string> =>
  url(sentinels, address, sentinels.username, sentinels.password)

/** Options of the connections to the Sentinels. */
export type ConnectionOptions = Pick<ClientOptions.ConnectionOptions, "ca" | "commandTimeout">

const ask = Effect.fnUntraced(function* (
  sentinels: Sentinels,
  { ca, commandTimeout }: ConnectionOptions,
  at: HostPort
) {
  const { redis } = yield* SharedRedis.open({
    url: url(sentinels, at, sentinels.sentinelUsername, sentinels.sentinelPassword),
    ca,
    commandTimeout,
    silenceLimit: commandTimeout
  })
  const send = (command: string) => SharedRedis.within(commandTimeout)(redis.send("SENTINEL", command, sentinels.name))
  // The epoch first: if a failover happens in between, it is too low for the address, never too high.
  const fields = yield* SharedRedis.readable(decodeFields(yield* send("MASTER")))
  const epoch = yield* SharedRedis.readable(decodeEpoch(fields[fields.indexOf("config-epoch") + 1]))
  // Unlike `MASTER`, this names the new primary as soon as it is promoted.
  const address = yield* SharedRedis.readable(decodeAddress(yield* send("GET-MASTER-ADDR-BY-NAME")))
  return { address, epoch } satisfies Primary
}, Effect.scoped)

/** The primary. Fails if no Sentinel names one. */
export const primary = (sentinels: Sentinels, options: ConnectionOptions): Effect.Effect<Primary, RedisError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const answers = yield* Queue.unbounded<Result.Result<Primary, string>>()
      for (const at of sentinels.sentinels) {
        const answer = Effect.map(
          Effect.result(ask(sentinels, options, at)),
          Result.mapError((error) => `${formatHostPort(at)}: ${SharedRedis.reasonOf(error)}`)
        )
        yield* Effect.forkScoped(Effect.flatMap(answer, (one) => Queue.offer(answers, one)))
      }
      return yield* decide(Queue.take(answers), sentinels.sentinels.length)
    })
  )

/** Takes answers until a majority names a primary, or all have answered. */
const decide = Effect.fnUntraced(function* (next: Effect.Effect<Result.Result<Primary, string>>, count: number) {
  const named: Array<Primary> = []
  const failures: Array<string> = []
  while (named.length <= count / 2 && named.length + failures.length < count) {
    const answer = yield* next
    if (Result.isSuccess(answer)) named.push(answer.success)
    else failures.push(answer.failure)
  }
  const [latest] = named.toSorted((a, b) => b.epoch - a.epoch)
  if (latest !== undefined) return latest
  // Sorted, because callers log the same reason once.
  return yield* SharedRedis.failed(new Error(`no Sentinel names the primary: ${failures.toSorted().join("; ")}`))
})

/** Polls until a later failover has made another server the primary. */
export const untilFailover = Effect.fnUntraced(function* (
  sentinels: Sentinels,
  options: ConnectionOptions,
  current: Primary,
  every: Duration.Duration
): Effect.fn.Return<HostPort> {
  while (true) {
    yield* Effect.sleep(every)
    const latest = yield* Effect.option(primary(sentinels, options))
    if (latest._tag === "None" || latest.value.epoch <= current.epoch) continue
    const { address } = latest.value
    if (formatHostPort(address) !== formatHostPort(current.address)) return address
  }
})
