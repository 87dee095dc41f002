import { Effect, Fiber } from "effect"
import { agent, send } from "./Https.ts"
import type { Party } from "./Pki.ts"
import { start } from "./Process.ts"

/** The size of an attack; see Attackers.ts. */
export interface Attack {
  readonly handshakes?: number
  readonly headers?: number
  readonly flooders?: number
  readonly pipelined?: number
  readonly sources?: number
  readonly bare?: number
}

/** Attacks the service at `port` from another process, which ends with the scope. */
export const attack = (
  port: number,
  { handshakes = 0, headers = 0, flooders = 0, pipelined = 1, sources = 8, bare = 0 }: Attack
) =>
  start(
    {
      PORT: String(port),
      HANDSHAKES: String(handshakes),
      HEADERS: String(headers),
      FLOODERS: String(flooders),
      PIPELINED: String(pipelined),
      SOURCES: String(sources),
      BARE: String(bare)
    },
    "test/support/Attackers.ts"
  )

/** The results of reads: the milliseconds of each that succeeded, and the failures. */
export interface Reads {
  readonly asked: number
  readonly millis: ReadonlyArray<number>
  readonly failures: ReadonlyArray<string>
}

const count = "/namespaces/personal/deployments/nginx/replica_count"

/**
 * Reads of a client, by default an identified one, at a fixed rate, whether or not earlier reads have completed. They use a pool of
 * keep-alive connections or a new connection each. A read whose connection breaks is tried `attempts` times, by default once.
 */
export const steadyReads = Effect.fnUntraced(function* (
  port: number,
  options: {
    readonly perSecond: number
    readonly count: number
    readonly keptAlive: boolean
    readonly attempts?: number
    readonly client?: Party
    readonly path?: string
  }
) {
  const { client = "viewer", path = count } = options
  const pool = options.keptAlive ? yield* agent(client, 32) : undefined
  const millis: Array<number> = []
  const failures: Array<string> = []
  const one = Effect.suspend(() => {
    const began = performance.now()
    return send(port, { client, path, ...(pool === undefined ? {} : { agent: pool }) }).pipe(
      Effect.retry({ times: (options.attempts ?? 1) - 1 }),
      Effect.match({
        onFailure: (error) => void failures.push(error.message),
        onSuccess: ({ status }) => {
          if (status === 200) millis.push(performance.now() - began)
          else failures.push(String(status))
        }
      })
    )
  })
  const fibers = yield* Effect.forEach(Array.from({ length: options.count }), () =>
    Effect.delay(Effect.forkChild(one), 1000 / options.perSecond)
  )
  yield* Effect.forEach(fibers, Fiber.join, { discard: true })
  return { asked: options.count, millis, failures } satisfies Reads
}, Effect.scoped)
