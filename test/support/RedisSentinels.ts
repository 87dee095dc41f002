import { Context, Effect, Layer, type Scope } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { HostPort } from "../../src/settings/Kind.ts"
import { eventually } from "./Eventually.ts"
import { file } from "./Pki.ts"
import { RedisServer } from "./RedisServer.ts"
import * as TcpProxy from "./TcpProxy.ts"

/** A Redis server of the group. Clients, replicas and Sentinels reach it through its proxy; `server` reaches it directly. */
export interface RedisNode {
  readonly server: RedisServer["Service"]
  readonly proxy: TcpProxy.TcpProxy
}

/** A primary, two replicas and three Sentinels. */
export interface RedisSentinels {
  readonly nodes: ReadonlyArray<RedisNode>
  readonly sentinels: ReadonlyArray<RedisServer["Service"]>
  readonly addresses: ReadonlyArray<HostPort>
  /** The node that the first Sentinel names. */
  readonly primary: Effect.Effect<RedisNode>
  /** Waits until the Sentinels name another node. */
  readonly failedOver: (from: RedisNode) => Effect.Effect<RedisNode>
  /** Waits until the node is a replica of the primary. */
  readonly demoted: (node: RedisNode) => Effect.Effect<unknown>
}

export interface Options {
  /** When a Sentinel takes a silent server for down. */
  readonly downAfterMillis: number
  /** Words of the command line of each server. */
  readonly settings?: ReadonlyArray<string>
  /** TLS everywhere, and these passwords. */
  readonly secured?: { readonly password: string; readonly sentinelPassword: string }
}

/** The name of the primary in the Sentinels' configuration. */
export const primaryName = "main"

const quick =
  "--repl-diskless-sync-delay 0 --repl-ping-replica-period 1 --replica-announce-ip 127.0.0.1 --rdb-del-sync-files yes"

const tls = [
  "--tls-port $PORT --tls-auth-clients no --tls-replication yes",
  `--tls-cert-file ${file("server.crt")} --tls-key-file ${file("server.key")} --tls-ca-cert-file ${file("ca.crt")}`
]
  .join(" ")
  .split(" ")

const urlOf = (password: string | undefined) => (port: number) =>
  password === undefined ? `redis://127.0.0.1:${port}` : `rediss://:${encodeURIComponent(password)}@127.0.0.1:${port}`

const serve = (settings: ReadonlyArray<string>, password: string | undefined) =>
  Effect.map(Layer.build(Layer.fresh(RedisServer.layer(settings, urlOf(password)))), (services) =>
    Context.get(services, RedisServer)
  )

const startNode = Effect.fnUntraced(function* ({ secured, settings = [] }: Options, primary: RedisNode | undefined) {
  let port = 0
  const proxy = yield* TcpProxy.make(() => port)
  const server = yield* serve(
    quick.split(" ").concat(
      // A replica stores what it copies from the primary, and would begin with it.
      ["--dir", mkdtempSync(join(tmpdir(), "kube-resource-api-redis-"))],
      ["--replica-announce-port", String(proxy.port)],
      primary === undefined ? [] : ["--replicaof", "127.0.0.1", String(primary.proxy.port)],
      secured === undefined ? [] : [...tls, "--requirepass", secured.password, "--masterauth", secured.password],
      settings
    ),
    secured?.password
  )
  port = server.port
  return { server, proxy } satisfies RedisNode
})

/** A Sentinel that watches the primary behind `port`. */
export const startSentinel = Effect.fnUntraced(function* (port: number, { downAfterMillis, secured }: Options) {
  const config = join(mkdtempSync(join(tmpdir(), "kube-resource-api-sentinel-")), "sentinel.conf")
  const lines = [
    `sentinel monitor ${primaryName} 127.0.0.1 ${port} 2`,
    `sentinel down-after-milliseconds ${primaryName} ${downAfterMillis}`,
    `sentinel failover-timeout ${primaryName} 1500`,
    ...(secured === undefined
      ? []
      : [
          `sentinel auth-pass ${primaryName} "${secured.password}"`,
          `sentinel sentinel-pass "${secured.sentinelPassword}"`
        ])
  ]
  writeFileSync(config, `${lines.join("\n")}\n`)
  const security = secured === undefined ? [] : [...tls, "--requirepass", secured.sentinelPassword]
  const sentinel = yield* serve([config, "--sentinel", ...security], secured?.sentinelPassword)
  for (const period of ["INFO-PERIOD", "PUBLISH-PERIOD", "PING-PERIOD", "ASK-PERIOD"]) {
    yield* sentinel.command("SENTINEL", "DEBUG", period, "200")
  }
  // A busy machine must not stop the failover.
  yield* sentinel.command("SENTINEL", "DEBUG", "TILT-TRIGGER", "60000")
  return sentinel
})

const wordsOf = (reply: unknown): ReadonlyArray<string> => (Array.isArray(reply) ? reply.map(String) : [])

/** A group that ends with the scope. */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<RedisSentinels, never, Scope.Scope> {
  const first = yield* startNode(options, undefined)
  const nodes = [first, yield* startNode(options, first), yield* startNode(options, first)]
  const sentinels = yield* Effect.forEach([1, 2, 3], () => startSentinel(first.proxy.port, options))
  const views = Effect.forEach(sentinels, (one) => Effect.map(one.command("SENTINEL", "MASTER", primaryName), wordsOf))
  yield* eventually(views, (all) =>
    all.every((fields) => {
      const valueOf = (name: string) => fields[fields.indexOf(name) + 1]
      return valueOf("num-slaves") === "2" && valueOf("num-other-sentinels") === "2"
    })
  )
  yield* eventually(first.server.command("INFO", "replication"), (text) =>
    [0, 1].every((index) => new RegExp(`slave${index}:.*state=online.*lag=[01]\\b`).test(String(text)))
  )
  const named = Effect.forEach(sentinels, (one) =>
    Effect.map(one.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", primaryName), (reply) => {
      const port = Number(wordsOf(reply)[1])
      return nodes.find(({ proxy }) => proxy.port === port) ?? first
    })
  )
  return {
    nodes,
    sentinels,
    addresses: sentinels.map(({ port }) => ({ host: "127.0.0.1", port })),
    primary: Effect.map(named, ([one = first]) => one),
    failedOver: (from) =>
      Effect.map(
        eventually(named, (all) => all.every((one) => one !== from && one === all[0])),
        ([one = first]) => one
      ),
    demoted: (node) =>
      // The Sentinels cut the node's connections when they demote it.
      eventually(Effect.catchDefect(node.server.command("ROLE"), Effect.succeed), (role) => {
        const [kind, , , link] = wordsOf(role)
        return kind === "slave" && link === "connected"
      })
  }
})
