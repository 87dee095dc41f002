import { assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stringify } from "yaml"
import { alerts, install, promtool, rulesFile } from "./Prometheus.ts"

beforeAll(install, 300_000)

/** Values by series, in the notation of promtool: `start+stepxcount`, one value a minute. */
type Series = Readonly<Record<string, string>>

const service = 'job="kube-resource-api"'
const probe = 'job="kube-resource-api-probe"'
const requests = (method: string, code: string) =>
  `http_requests_total{${service},instance="a",route="/namespaces",method="${method}",code="${code}"}`
const bucket = (method: string, le: string) =>
  `http_request_duration_seconds_bucket{${service},instance="a",route="/namespaces",method="${method}",code="2xx",le="${le}"}`
const ready = (pod: string) => `kube_pod_status_ready{condition="true",pod="${pod}"}`
const restarts = 'kube_pod_container_status_restarts_total{container="server",pod="kube-resource-api-a"}'
const started = (instance: string) => `process_start_time_seconds{${service},instance="${instance}"}`
const success = `synthetic_query_success{${probe},step="list_namespaces"}`
const lastRun = `synthetic_query_last_run_timestamp_seconds{${probe}}`
const cronJob = 'cronjob="kube-resource-api-probe",namespace="ours"'
const succeeded = `kube_cronjob_status_last_successful_time{${cronJob}}`
const scheduled = `kube_cronjob_status_last_schedule_time{${cronJob}}`
const up = (instance: string) => `up{${service},instance="${instance}"}`
const age = `cache_age_seconds{${service},instance="a"}`
const foreign = `shared_cache_foreign{${service},instance="a"}`
const outOfMemory = `shared_cache_out_of_memory{${service},instance="a"}`
const unrecorded = `audit_writes_refused_total{${service},instance="a"}`
const refused = (kind: "streams" | "waits", limit: "total" | "user") =>
  `${kind}_refused_total{${service},instance="a",limit="${limit}"}`
const connected = `informer_connected{${service},instance="a",resource="deployments"}`
const expiry = `tls_certificate_expiry_timestamp_seconds{${service},instance="a",file="server"}`

/** Two instances for three hours, with some errors, some slow requests and one restart. */
const healthy: Series = {
  [up("a")]: "1x180",
  [up("b")]: "1x180",
  [requests("GET", "200")]: "0+6000x180",
  [requests("GET", "503")]: "0+60x180",
  [requests("PUT", "200")]: "0+60x180",
  // Readiness probes do not count as failed requests.
  [`http_requests_total{${service},instance="a",route="/readyz",method="GET",code="503"}`]: "0+6000x180",
  [bucket("GET", "0.05")]: "0+5800x180",
  [bucket("GET", "0.1")]: "0+5900x180",
  [bucket("GET", "1")]: "0+6000x180",
  [bucket("GET", "+Inf")]: "0+6000x180",
  [bucket("PUT", "0.5")]: "0+59x180",
  [bucket("PUT", "2.5")]: "0+60x180",
  [bucket("PUT", "10")]: "0+60x180",
  [bucket("PUT", "+Inf")]: "0+60x180",
  [started("a")]: "-100000x90 5400x89",
  [started("b")]: "-100000x180",
  [restarts]: "0x90 1x89",
  [ready("kube-resource-api-a")]: "1x180",
  [ready("kube-resource-api-b")]: "1x180",
  [ready("kube-resource-api-probe-1")]: "0x180",
  [ready("kube-resource-api-watcher-a")]: "1x180",
  [ready("kube-resource-api-watcher-b")]: "1x90 0x5 1x84",
  [success]: "1x180",
  [lastRun]: "0+60x180",
  [age]: "0x180",
  [foreign]: "0x180",
  [outOfMemory]: "0x180",
  [unrecorded]: "0x180",
  [refused("streams", "total")]: "0x180",
  [refused("waits", "total")]: "0x180",
  [connected]: "1x180",
  [expiry]: "7776000x180"
}

/** Series that differ from the healthy state. `undefined` removes the series. */
type Change = Readonly<Record<string, string | undefined>>

interface Case {
  readonly fires: Change
  readonly labels: Readonly<Record<string, string>>
  readonly doesNot: Change
  /** Other alerts that must fire as well. */
  readonly with?: ReadonlyArray<string>
}

const instance = { job: "kube-resource-api", instance: "a" }

const cases: Readonly<Record<string, Case>> = {
  KubeResourceApiInaccessible: {
    fires: { [success]: "1x170 0x9" },
    labels: { job: "kube-resource-api-probe", step: "list_namespaces" },
    // Two failures, and one more at the end.
    doesNot: { [success]: "1x170 0x1 1x5 0x1" }
  },
  KubeResourceApiNotProbed: {
    fires: { [lastRun]: "0+60x150 9000x29" },
    labels: { job: "kube-resource-api-probe" },
    doesNot: { [lastRun]: "0+60x165 9900x14" }
  },
  KubeResourceApiPoorHealth: {
    fires: { [ready("kube-resource-api-b")]: "1x170 0x9" },
    labels: {},
    // A rollout: one of two pods is not ready for a while.
    doesNot: { [ready("kube-resource-api-b")]: "1x170 0x4 1x4" }
  },
  KubeResourceApiWatcherNotReady: {
    fires: { [ready("kube-resource-api-watcher-b")]: "1x160 0x19" },
    labels: {},
    // A new watcher has been starting for nine minutes.
    doesNot: { [ready("kube-resource-api-watcher-c")]: "_x171 0x9" }
  },
  KubeResourceApiDown: {
    fires: { [up("a")]: "1x170 0x9" },
    labels: instance,
    doesNot: { [up("a")]: "1x170 0x2 1x6" }
  },
  KubeResourceApiErrorRate: {
    fires: { [requests("GET", "503")]: "0+60x160 10000+600x19" },
    labels: { job: "kube-resource-api" },
    doesNot: { [requests("GET", "503")]: "0+60x160 9660+260x19" }
  },
  KubeResourceApiSlowReads: {
    fires: {
      [bucket("GET", "0.1")]: "0+5900x150 885000+5600x29",
      [bucket("GET", "0.05")]: "0+5800x150 870000+5000x29"
    },
    labels: { job: "kube-resource-api", method: "GET" },
    doesNot: {
      [bucket("GET", "0.1")]: "0+5900x150 885000+5750x29",
      [bucket("GET", "0.05")]: "0+5800x150 870000+5000x29"
    }
  },
  KubeResourceApiSlowWrites: {
    fires: { [bucket("PUT", "2.5")]: "0+60x150 9000+50x29", [bucket("PUT", "0.5")]: "0+59x150 8850+40x29" },
    labels: { job: "kube-resource-api", method: "PUT" },
    doesNot: { [bucket("PUT", "2.5")]: "0+60x150 9000+59x29", [bucket("PUT", "0.5")]: "0+59x150 8850+40x29" }
  },
  KubeResourceApiInstanceTurnover: {
    fires: { [started("a")]: "-100000x90 5460+60x89" },
    labels: { job: "kube-resource-api" },
    // Two instances were replaced twice.
    doesNot: {
      [up("c")]: "_x150 1x29",
      [up("d")]: "_x150 1x29",
      [started("c")]: "_x150 9000x29",
      [started("d")]: "_x150 9000x29"
    }
  },
  KubeResourceApiStaleCache: {
    fires: { [age]: "0x170 10+60x9" },
    labels: instance,
    doesNot: { [age]: "0x170 10+12x9" }
  },
  KubeResourceApiForeignState: {
    fires: { [foreign]: "0x160 1x19" },
    labels: instance,
    doesNot: { [foreign]: "0x160 1x4 0x15" }
  },
  KubeResourceApiRedisOutOfMemory: {
    fires: { [outOfMemory]: "0x170 1x9" },
    labels: instance,
    doesNot: { [outOfMemory]: "0x170 1x0 0x8" }
  },
  KubeResourceApiAuditBlocked: {
    fires: { [unrecorded]: "0x170 1+1x9" },
    labels: instance,
    doesNot: { [unrecorded]: "7x180" }
  },
  KubeResourceApiStreamsRefused: {
    fires: { [refused("streams", "total")]: "0x160 1+1x19" },
    labels: instance,
    // One user is refused all the time. All are for five minutes, as during a rolling update.
    doesNot: { [refused("streams", "user")]: "0+10x180", [refused("streams", "total")]: "0x165 10+10x4 50x9" }
  },
  KubeResourceApiInformerDisconnected: {
    fires: { [connected]: "1x170 0x9" },
    labels: { ...instance, resource: "deployments" },
    doesNot: { [connected]: "1x170 0x1 1x5 0x1" }
  },
  KubeResourceApiCertificateExpiry: {
    // Thirteen days after the end of the three hours, which are 10,800 seconds.
    fires: { [expiry]: "1134000x180" },
    labels: { ...instance, file: "server" },
    doesNot: { [expiry]: "1296000x180" }
  },
  KubeResourceApiCertificateExpiresSoon: {
    fires: { [expiry]: "54000x180" },
    labels: { ...instance, file: "server" },
    doesNot: { [expiry]: "1134000x180" },
    with: ["KubeResourceApiCertificateExpiry"]
  }
}

/** Further changes for which an alert fires. */
const more: ReadonlyArray<readonly [alert: string, what: string, change: Change, labels: Case["labels"]]> = [
  [
    "KubeResourceApiNotProbed",
    "the CronJob of the probe does not run",
    { [lastRun]: undefined, [success]: undefined, [scheduled]: "0+300x31 9300x148", [succeeded]: "0+60x180" },
    { cronjob: "kube-resource-api-probe" }
  ],
  [
    "KubeResourceApiInaccessible",
    "the CronJob of the probe fails",
    { [lastRun]: undefined, [success]: undefined, [scheduled]: "0+60x180", [succeeded]: "0+60x150 9000x29" },
    { cronjob: "kube-resource-api-probe" }
  ],
  [
    "KubeResourceApiNotProbed",
    "there is no probe at all",
    { [lastRun]: undefined },
    { job: "kube-resource-api-probe" }
  ],
  [
    "KubeResourceApiPoorHealth",
    "half of the serving pods are not ready, however many watchers are ready",
    {
      [ready("kube-resource-api-b")]: "1x170 0x9",
      [ready("kube-resource-api-watcher-c")]: "1x180",
      [ready("kube-resource-api-watcher-d")]: "1x180"
    },
    {}
  ],
  [
    "KubeResourceApiDown",
    "no instance is known",
    { [up("a")]: undefined, [up("b")]: undefined },
    { job: "kube-resource-api" }
  ],
  [
    "KubeResourceApiStreamsRefused",
    "only waits are refused",
    { [refused("waits", "total")]: "0x160 1+1x19" },
    instance
  ],
  ["KubeResourceApiInstanceTurnover", "a container restarts repeatedly", { [restarts]: "0x150 0+1x29" }, {}]
]

const test = (change: Change, at: string, firing: ReadonlyArray<Readonly<Record<string, string>>>) => {
  const folder = mkdtempSync(join(tmpdir(), "alerts-"))
  const file = join(folder, "test.yaml")
  const series = Object.entries({ ...healthy, ...change }).flatMap(([name, values]) =>
    values === undefined ? [] : [{ series: name, values }]
  )
  const labelled = (labels: Readonly<Record<string, string>>) =>
    `ALERTS{${Object.entries({ ...labels, alertstate: "firing" })
      .map(([name, value]) => `${name}="${value}"`)
      .join(", ")}}`
  writeFileSync(
    file,
    stringify({
      rule_files: [rulesFile],
      evaluation_interval: "1m",
      tests: [
        {
          interval: "1m",
          input_series: series,
          promql_expr_test: [
            {
              expr: 'ALERTS{alertstate="firing"}',
              eval_time: at,
              exp_samples: firing.map((labels) => ({ labels: labelled(labels), value: 1 }))
            }
          ]
        }
      ]
    })
  )
  const { output, status } = promtool(["test", "rules", file])
  assert.strictEqual(status, 0, output)
}

const severities = () => new Map(alerts().map(({ alert, labels }) => [alert, labels.severity]))

const firing = (alert: string, labels: Case["labels"]) => ({
  alertname: alert,
  severity: severities().get(alert) ?? "",
  ...labels
})

describe("the alerts", () => {
  it("pass promtool check rules", () => {
    const { output, status } = promtool(["check", "rules", rulesFile])
    assert.strictEqual(status, 0, output)
  })

  it("all have a test", () =>
    assert.sameMembers(
      alerts().map(({ alert }) => alert),
      Object.keys(cases)
    ))

  it("each link to their runbook in docs/operations.md", () => {
    const operations = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8")
    const runbooks = operations.slice(operations.indexOf("\n## Runbooks\n"))
    for (const { alert, annotations } of alerts()) {
      assert.include(runbooks, `\n### ${alert}\n`)
      assert.strictEqual(annotations.runbook, `docs/operations.md#${alert.toLowerCase()}`)
    }
  })

  it("are silent in a healthy state", () => test({}, "3h", []))

  it("are silent without watcher pods", () =>
    test(
      { [ready("kube-resource-api-watcher-a")]: undefined, [ready("kube-resource-api-watcher-b")]: undefined },
      "3h",
      []
    ))

  it("are silent if the probe runs as a CronJob", () =>
    test({ [lastRun]: undefined, [success]: undefined, [scheduled]: "0+60x180", [succeeded]: "0+60x180" }, "3h", []))

  for (const [alert, { doesNot, fires, labels, ...rest }] of Object.entries(cases)) {
    it(`${alert} fires`, () =>
      test(
        fires,
        "3h",
        [alert, ...(rest.with ?? [])].map((name) => firing(name, labels))
      ))
    it(`${alert} does not fire below its threshold`, () =>
      test(
        doesNot,
        "3h",
        // Below the threshold of the critical alert, the warning still fires.
        (rest.with ?? []).map((name) => firing(name, labels))
      ))
  }

  for (const [alert, what, change, labels] of more) {
    it(`${alert} fires if ${what}`, () => test(change, "3h", [firing(alert, labels)]))
  }
})
