/** A real Prometheus with the deployed rules and scrape configuration, over instances and probes that a test started. */
import { Duration, Effect, Schema, type Scope } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse, stringify } from "yaml"
import { file } from "../support/Pki.ts"
import { programs, rulesFile } from "./Prometheus.ts"

const Response = Schema.Struct({
  status: Schema.Literal("success"),
  data: Schema.Struct({
    result: Schema.Array(
      Schema.Struct({
        metric: Schema.Record(Schema.String, Schema.String),
        value: Schema.Tuple([Schema.Number, Schema.String])
      })
    )
  })
})

const Alerts = Schema.Struct({
  data: Schema.Struct({
    alerts: Schema.Array(
      Schema.Struct({
        labels: Schema.Record(Schema.String, Schema.String),
        annotations: Schema.Record(Schema.String, Schema.String),
        state: Schema.Literals(["pending", "firing"])
      })
    )
  })
})

/** A sample of an instant query. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** An alert that is pending or firing. */
export type ActiveAlert = Schema.Schema.Type<typeof Alerts>["data"]["alerts"][number]

/** What a test asks of it. */
export interface Prometheus {
  readonly url: string
  readonly query: (expr: string) => Effect.Effect<ReadonlyArray<Sample>, Error>
  readonly alerts: Effect.Effect<ReadonlyArray<ActiveAlert>, Error>
}

/** What it scrapes: `host:port` of instances (over mutual TLS), of probes' loops and of others, in plain HTTP. */
export interface Targets {
  readonly instances: ReadonlyArray<string>
  readonly probes: ReadonlyArray<string>
  readonly others?: ReadonlyArray<string>
}

/**
 * The rules with a minute as long as a second, and nothing else changed: the ranges of queries, how long an alert must hold
 * before it fires, and the products that write a time in minutes.
 */
export const hurried = (rules: string): string =>
  rules
    .replaceAll(/\b([0-9]+)m\b/g, "$1s")
    .replaceAll(/\b1h\b/g, "60s")
    .replaceAll(/ \* 60\b/g, " * 1")

const Scrape = Schema.Struct({
  scrape_configs: Schema.Array(Schema.Record(Schema.String, Schema.Unknown))
})

/** deploy/prometheus/scrape.yaml, with a test's certificates and targets in the place of a deployment's. */
const scraping = ({ instances, others, probes }: Targets) => {
  const path = new URL("../../deploy/prometheus/scrape.yaml", import.meta.url)
  const written = readFileSync(path, "utf8")
    .replace("/etc/prometheus/kube-resource-api/ca.crt", file("ca.crt"))
    .replace("/etc/prometheus/kube-resource-api/tls.crt", file("admin.crt"))
    .replace("/etc/prometheus/kube-resource-api/tls.key", file("admin.key"))
    .replace('"kube-resource-api:8443"', instances.map((target) => JSON.stringify(target)).join(", "))
    .replace('"kube-resource-api-probe:9091"', probes.map((target) => JSON.stringify(target)).join(", "))
  const { scrape_configs } = Schema.decodeUnknownSync(Scrape)(parse(written))
  return others === undefined
    ? scrape_configs
    : [...scrape_configs, { job_name: "kube-state-metrics", static_configs: [{ targets: others }] }]
}

/** A port that was free a moment ago. */
export const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(address === null || typeof address === "string" ? 0 : address.port)))
  })
})

const json = (url: string) =>
  Effect.tryPromise({
    try: async (signal) => (await fetch(url, { signal })).json(),
    catch: (error) => (error instanceof Error ? error : new Error(String(error)))
  })

const decode = <A>(schema: Schema.Codec<A, unknown>, url: string): Effect.Effect<A, Error> =>
  Effect.flatMap(json(url), (body) =>
    Effect.mapError(Schema.decodeUnknownEffect(schema)(body), (error) => new Error(`${url}: ${error.message}`))
  )

/** Prometheus that scrapes and evaluates each second; killed with the scope. */
export const start = (targets: Targets): Effect.Effect<Prometheus, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "prometheus-"))
    const port = yield* freePort
    writeFileSync(join(folder, "rules.yaml"), hurried(readFileSync(rulesFile, "utf8")))
    writeFileSync(
      join(folder, "prometheus.yaml"),
      stringify({
        global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
        rule_files: ["rules.yaml"],
        scrape_configs: scraping(targets)
      })
    )
    let output = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const prometheus = spawn(
          `${programs}/prometheus`,
          [
            `--config.file=${folder}/prometheus.yaml`,
            `--storage.tsdb.path=${folder}/data`,
            `--web.listen-address=127.0.0.1:${port}`
          ],
          { stdio: ["ignore", "pipe", "pipe"] }
        )
        prometheus.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()))
        return prometheus
      }),
      (prometheus) => Effect.sync(() => prometheus.kill("SIGKILL"))
    )
    const url = `http://127.0.0.1:${port}`
    const ready: Effect.Effect<void> = Effect.suspend(() =>
      child.exitCode === null
        ? Effect.tryPromise(() => fetch(`${url}/-/ready`)).pipe(
            Effect.map((response) => response.ok),
            Effect.orElseSucceed(() => false),
            Effect.flatMap((isReady) => (isReady ? Effect.void : Effect.delay(ready, "100 millis")))
          )
        : Effect.die(new Error(output))
    )
    yield* ready
    return {
      url,
      query: (expr) =>
        Effect.map(decode(Response, `${url}/api/v1/query?query=${encodeURIComponent(expr)}`), ({ data }) =>
          data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
        ),
      alerts: Effect.map(decode(Alerts, `${url}/api/v1/alerts`), ({ data }) => data.alerts)
    }
  })

/** Asks until it is so; tells what it was last where it is not in time. */
export const until = <A>(
  what: string,
  ask: Effect.Effect<A, Error>,
  is: (answer: A) => boolean,
  within: Duration.Input = "60 seconds"
): Effect.Effect<A, Error> => {
  let last: A | undefined
  const again: Effect.Effect<A, Error> = Effect.flatMap(ask, (answer) => {
    last = answer
    return is(answer) ? Effect.succeed(answer) : Effect.delay(again, "200 millis")
  })
  return Effect.timeoutOrElse(again, {
    duration: within,
    orElse: () => Effect.fail(new Error(`not in time: ${what}; last: ${JSON.stringify(last)}`))
  })
}
