/**
 * The service under attack, with the default limits and 25,000 deployments. Meanwhile one identified client reads at a fixed
 * rate over keep-alive connections and another over a new connection for each read, and a probe without a certificate opens
 * a new connection for each `/livez`. All come from an address without attackers, unless the row says otherwise.
 *
 * `HOSTILE=chains,hoards` measures only the rows whose names contain one of these words.
 */
import { Config, Effect } from "effect"
import { type Attack, attack, steadyReads } from "../test/support/Attack.ts"
import { start } from "../test/support/Process.ts"
import { peakMegabytes, residentMegabytes } from "./ProcessUsage.ts"
import { serviceSettings, startEncodedCluster } from "./Programs.ts"
import { isQuick, print, result, table, title } from "./Report.ts"
import { quantile } from "./Spread.ts"

/** An attack of HostileClients.ts. */
interface Clients {
  readonly kind: "chains" | "hoards" | "held" | "metrics" | "puts"
  readonly connections: number
  readonly sources: number
}

interface Row {
  readonly name: string
  readonly attacks?: ReadonlyArray<Attack>
  readonly clients?: ReadonlyArray<Clients>
  /** Nobody reads the standard output of the service. */
  readonly stalled?: boolean
}

const dribblers: ReadonlyArray<Attack> = [{ handshakes: 1000 }, { headers: 1000 }]
const chains = (sources: number): Clients => ({ kind: "chains", connections: 24 * sources, sources })
const held: Clients = { kind: "held", connections: 3000, sources: 8 }

const rows: ReadonlyArray<Row> = [
  { name: "no attack" },
  { name: "2,000 dribble", attacks: dribblers },
  { name: "200 flood", attacks: [{ flooders: 200 }] },
  { name: "2,000 dribble, 200 flood", attacks: [...dribblers, { flooders: 200 }] },
  {
    name: "the same from the clients' own address",
    attacks: [
      { handshakes: 1000, sources: 1 },
      { headers: 1000, sources: 1 },
      { flooders: 200, sources: 1 }
    ]
  },
  { name: "200 flood, 500 requests a packet", attacks: [{ flooders: 200, pipelined: 500 }] },
  { name: "chains from one address", clients: [chains(1)] },
  { name: "chains from eight addresses", clients: [chains(8)] },
  { name: "hoards: 400 do not read a list", clients: [{ kind: "hoards", connections: 400, sources: 8 }] },
  { name: "held by one user, 600 bare connections/s", clients: [held], attacks: [{ bare: 600 }] },
  { name: "held by one user, 2,000 bare connections/s", clients: [held], attacks: [{ bare: 2000 }] },
  { name: "metrics, 100 connections", clients: [{ kind: "metrics", connections: 100, sources: 1 }] },
  { name: "puts, 200 without a certificate", clients: [{ kind: "puts", connections: 200, sources: 8 }] },
  { name: "puts, log not read", clients: [{ kind: "puts", connections: 200, sources: 8 }], stalled: true },
  {
    name: "chains, held, 2,000 bare/s and 200 flood together",
    clients: [chains(8), held],
    attacks: [{ bare: 2000 }, { flooders: 200, pipelined: 16 }]
  }
]

const attackWith = (port: number, { connections, kind, sources }: Clients) =>
  start(
    { PORT: String(port), ATTACK: kind, CONNECTIONS: String(connections), SOURCES: String(sources) },
    "bench/HostileClients.ts"
  )

const read = "/namespaces/load-00001/deployments/deployment-00050/replica_count"

/** Each row attacks a new instance. */
const measure = Effect.fnUntraced(function* (url: string, row: Row, seconds: number) {
  const service = yield* start(serviceSettings({ url }))
  const port = yield* service.port
  const pid = service.child.pid ?? 0
  yield* service.printed('"Ready"')
  service.child.stdout?.removeAllListeners("data")
  if (row.stalled === true) service.child.stdout?.pause()
  else service.child.stdout?.resume()
  yield* steadyReads(port, { perSecond: 100, count: 300, keptAlive: true, path: read })
  const before = residentMegabytes(pid)
  const attackers = [
    ...(yield* Effect.forEach(row.attacks ?? [], (one) => attack(port, one))),
    ...(yield* Effect.forEach(row.clients ?? [], (one) => attackWith(port, one)))
  ]
  for (const { printed } of attackers) yield* printed("\n")
  // The attack reaches its full size within three seconds.
  if (attackers.length > 0) yield* Effect.sleep(3000)
  const [kept, fresh, probed] = yield* Effect.all(
    [
      steadyReads(port, { perSecond: 100, count: 100 * seconds, keptAlive: true, path: read }),
      steadyReads(port, { perSecond: 10, count: 10 * seconds, keptAlive: false, path: read }),
      steadyReads(port, { perSecond: 10, count: 10 * seconds, keptAlive: false, client: "none", path: "/livez" })
    ],
    { concurrency: "unbounded" }
  )
  return { row, kept, fresh, probed, before, after: residentMegabytes(pid), peak: peakMegabytes(pid) }
}, Effect.scoped)

type Measured = Effect.Success<ReturnType<typeof measure>>

const at = (millis: ReadonlyArray<number>, q: number) => quantile(millis, q).toFixed(1)

const share = ({ asked, millis }: Measured["kept"]) => `${millis.length}/${asked}`

const cells = ({ after, before, fresh, kept, peak, probed, row }: Measured) => [
  row.name,
  share(kept),
  at(kept.millis, 0.5),
  at(kept.millis, 0.99),
  share(fresh),
  at(fresh.millis, 0.5),
  at(fresh.millis, 0.99),
  share(probed),
  at(probed.millis, 0.99),
  before.toFixed(0),
  after.toFixed(0),
  peak.toFixed(0)
]

const main = Effect.gen(function* () {
  const quick = yield* isQuick
  const words = (yield* Config.String("HOSTILE").pipe(Config.withDefault(""))).split(",")
  yield* title("hostile")
  const { url } = yield* startEncodedCluster(quick ? 1000 : 25_000)
  const measured: Array<Measured> = []
  for (const row of rows) {
    if (!words.some((word) => row.name.includes(word))) continue
    const one = yield* measure(url, row, quick ? 1 : 8)
    yield* print(cells(one).join("  "))
    measured.push(one)
  }
  yield* print("\nReads that succeeded, and their times in ms; RSS of the service in MiB\n")
  yield* table(
    [
      "attack",
      "kept alive",
      "p50",
      "p99",
      "new connection",
      "p50",
      "p99",
      "/livez",
      "p99",
      "RSS before",
      "after",
      "peak"
    ],
    measured.map(cells)
  )
  for (const { after, before, fresh, kept, peak, probed, row } of measured) {
    const failures = [...new Set([...kept.failures, ...fresh.failures, ...probed.failures])]
    if (failures.length > 0) yield* print(`${row.name}: ${failures.join(", ")}`)
    const succeeded = [kept, fresh, probed].map(({ asked, millis }) => (100 * millis.length) / asked)
    yield* result(`${row.name}: least share of reads and probes that succeeded, %`, [Math.min(...succeeded)], {
      atLeast: 100
    })
    if (row.name.startsWith("the same from")) {
      yield* result(`${row.name}: p50 over new connections, ms`, [quantile(fresh.millis, 0.5)], { atMost: 1000 })
    }
    if (row.name.startsWith("chains")) {
      yield* result(`${row.name}: p99 of /livez, ms`, [quantile(probed.millis, 0.99)], { atMost: 500 })
    }
    if (row.name.startsWith("hoards")) {
      yield* result(`${row.name}: growth of RSS, MiB`, [Math.max(after, peak) - before], { atMost: 100 })
    }
  }
})

await Effect.runPromise(Effect.scoped(main))
