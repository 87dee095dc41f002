/** A real Prometheus with the deployed rules and scrape configuration, which scrapes the instances and probes of a test. */
import { Effect, Exit, Schema, type Scope } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse, stringify } from "yaml"
import { eventually } from "../support/Eventually.ts"
import { file } from "../support/Pki.ts"
import { freePort } from "../support/Ports.ts"
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

/** A sample of an instant query's result. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** An alert that is pending or firing. */
export type ActiveAlert = Schema.Schema.Type<typeof Alerts>["data"]["alerts"][number]

/** The queries of a test. */
export interface Prometheus {
  readonly url: string
  readonly query: (expr: string) => Effect.Effect<ReadonlyArray<Sample>, Error>
  readonly alerts: Effect.Effect<ReadonlyArray<ActiveAlert>, Error>
}

/** The scraped `host:port` pairs: instances over mutual TLS, probes and others in plain HTTP. */
export interface Targets {
  readonly instances: ReadonlyArray<string>
  readonly probes: ReadonlyArray<string>
  readonly others?: ReadonlyArray<string>
}

/**
 * The rules with a second in place of a minute: in the ranges of queries, in the `for` of alerts and in products that
 * express a time in minutes.
 */
export const hurried = (rules: string): string =>
  rules
    .replaceAll(/\b([0-9]+)m\b/g, "$1s")
    .replaceAll(/\b1h\b/g, "60s")
    .replaceAll(/ \* 60\b/g, " * 1")

const Scrape = Schema.Struct({
  scrape_configs: Schema.Array(Schema.Record(Schema.String, Schema.Unknown))
})

/** deploy/prometheus/scrape.yaml with the certificates and targets of a test. */
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

const json = (url: string) =>
  Effect.tryPromise({
    try: async (signal) => (await fetch(url, { signal })).json(),
    catch: (error) => (error instanceof Error ? error : new Error(String(error)))
  })

const decode = <A>(schema: Schema.Codec<A, unknown>, url: string): Effect.Effect<A, Error> =>
  Effect.flatMap(json(url), (body) =>
    Effect.mapError(Schema.decodeUnknownEffect(schema)(body), (error) => new Error(`${url}: ${error.message}`))
  )

/** A Prometheus that scrapes and evaluates each second. The end of the scope kills it. */
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
    yield* eventually(Effect.exit(Effect.tryPromise(() => fetch(`${url}/-/ready`))), (response) => {
      if (child.exitCode !== null) return true
      return Exit.isSuccess(response) && response.value.ok
    })
    if (child.exitCode !== null) return yield* Effect.die(new Error(output))
    return {
      url,
      query: (expr) =>
        Effect.map(decode(Response, `${url}/api/v1/query?query=${encodeURIComponent(expr)}`), ({ data }) =>
          data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
        ),
      alerts: Effect.map(decode(Alerts, `${url}/api/v1/alerts`), ({ data }) => data.alerts)
    }
  })
