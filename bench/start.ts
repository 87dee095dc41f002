/**
 * What a start takes: milliseconds from the process's start to the first `/livez` and to `/readyz` over the demo cluster,
 * and CPU milliseconds until then, from source and from the bundle. They take turns; medians and spread are printed.
 */
import { Effect, Schedule } from "effect"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { createServer } from "node:net"
import { send } from "../test/integration/Https.ts"
import { demoSettings, start } from "../test/integration/Process.ts"

const rounds = 15
const programs = { source: "src/main.ts", bundle: "dist/main.js" }

const cpuMillis = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(address === null || typeof address === "string" ? 0 : address.port)))
  })
})

/** The time at which `path` first answered 200. */
const answered = (port: number, path: string) =>
  send(port, { client: "none", path }).pipe(
    Effect.filterOrFail(({ status }) => status === 200),
    Effect.retry(Schedule.spaced("2 millis")),
    Effect.map(() => performance.now())
  )

const once = Effect.fnUntraced(function* (program: string) {
  const port = yield* freePort
  const began = performance.now()
  const { child } = yield* start({ ...demoSettings, PORT: String(port) }, program)
  const live = (yield* answered(port, "/livez")) - began
  const ready = (yield* answered(port, "/readyz")) - began
  return { live, ready, cpu: cpuMillis(child.pid ?? 0) }
}, Effect.scoped)

const summary = (values: ReadonlyArray<number>): string => {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => Math.round(sorted[index] ?? Number.NaN)
  return `${at(Math.floor(sorted.length / 2))} (${at(0)}..${at(sorted.length - 1)})`
}

const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

const main = Effect.gen(function* () {
  execFileSync(process.execPath, ["scripts/bundle.ts"], { stdio: "inherit" })
  const measured = Object.entries(programs).map(([name, program]) => ({
    name,
    program,
    starts: new Array<{ readonly live: number; readonly ready: number; readonly cpu: number }>()
  }))
  for (let round = 0; round < rounds; round++) {
    for (const { program, starts } of measured) starts.push(yield* once(program))
  }
  yield* print(`${rounds} starts each, milliseconds: median (min..max)`)
  yield* print(`${"from".padEnd(10)}${"/livez".padEnd(20)}${"/readyz".padEnd(20)}CPU`)
  for (const { name, starts } of measured) {
    const of = (field: "live" | "ready" | "cpu") => summary(starts.map((one) => one[field])).padEnd(20)
    yield* print(`${name.padEnd(10)}${of("live")}${of("ready")}${of("cpu").trimEnd()}`)
  }
})

await Effect.runPromise(main)
