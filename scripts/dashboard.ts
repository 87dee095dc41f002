/** Writes deploy/grafana/kube-resource-api.json, the Grafana dashboard, from the rows below. */
import { writeFileSync } from "node:fs"

type Unit = "reqps" | "ops" | "percentunit" | "s" | "bytes" | "short" | "none" | "dtdurations" | "dateTimeFromNow"

interface Panel {
  readonly title: string
  readonly description?: string
  readonly unit: Unit
  readonly kind?: "timeseries" | "stat" | "heatmap"
  /** Query and legend of each series. */
  readonly queries: ReadonlyArray<readonly [expr: string, legend: string]>
}

const service = 'job="kube-resource-api", instance=~"$instance"'
const used = `${service}, route!~"/livez|/readyz|/metrics"`
const reads = `${service}, route=~"/namespaces.*", method=~"GET|HEAD"`
const writes = `${service}, route=~"/namespaces.*", method="PUT"`
const probe = 'job="kube-resource-api-probe"'
const rate = (metric: string, labels: string) => `rate(${metric}{${labels}}[$__rate_interval])`
const increase = (metric: string, labels: string) => `increase(${metric}{${labels}}[$__rate_interval])`
const quantile = (q: number, metric: string, labels: string, by = "le") =>
  `histogram_quantile(${q}, sum by (${by}) (${rate(`${metric}_bucket`, labels)}))`
const mean = (metric: string, labels: string, by: string) =>
  `sum by (${by}) (${rate(`${metric}_sum`, labels)}) / sum by (${by}) (${rate(`${metric}_count`, labels)})`

const rows: ReadonlyArray<readonly [title: string, panels: ReadonlyArray<Panel>]> = [
  [
    "Traffic",
    [
      {
        title: "Requests by endpoint",
        unit: "reqps",
        queries: [[`sum by (method, route) (${rate("http_requests_total", used)})`, "{{method}} {{route}}"]]
      },
      {
        title: "Requests by status",
        unit: "reqps",
        queries: [[`sum by (code) (${rate("http_requests_total", used)})`, "{{code}}"]]
      },
      {
        title: "Writes by status",
        unit: "reqps",
        queries: [[`sum by (code) (${rate("http_requests_total", writes)})`, "{{code}}"]]
      },
      {
        title: "Size of a response, mean",
        unit: "bytes",
        queries: [[mean("http_response_size_bytes", used, "route"), "{{route}}"]]
      }
    ]
  ],
  [
    "Errors",
    [
      {
        title: "Part of the requests that fail (5xx)",
        description: "Probes and scrapes are not counted. The alert KubeResourceApiErrorRate fires above 5 %.",
        unit: "percentunit",
        queries: [["job:http_requests_failed:ratio_rate5m", "failed"]]
      },
      {
        title: "Refused and failed",
        description: "499: the client went away before its answer.",
        unit: "reqps",
        queries: [[`sum by (code) (${rate("http_requests_total", `${used}, code=~"[45].."`)})`, "{{code}}"]]
      },
      {
        title: "Synthetic query: success of each step",
        unit: "none",
        queries: [[`min by (step) (synthetic_query_success{${probe}})`, "{{step}}"]]
      },
      {
        title: "Requests to the cluster that failed",
        unit: "ops",
        queries: [
          [`sum by (verb, code) (${rate("kube_requests_total", `${service}, code!~"2.."`)})`, "{{verb}} {{code}}"]
        ]
      }
    ]
  ],
  [
    "Latency",
    [
      {
        title: "Reads",
        unit: "s",
        queries: [
          [quantile(0.5, "http_request_duration_seconds", reads), "p50"],
          [quantile(0.95, "http_request_duration_seconds", reads), "p95"],
          [quantile(0.99, "http_request_duration_seconds", reads), "p99"]
        ]
      },
      {
        title: "Writes",
        unit: "s",
        queries: [
          [quantile(0.5, "http_request_duration_seconds", writes), "p50"],
          [quantile(0.95, "http_request_duration_seconds", writes), "p95"],
          [quantile(0.99, "http_request_duration_seconds", writes), "p99"]
        ]
      },
      {
        title: "All requests",
        unit: "s",
        kind: "heatmap",
        queries: [[`sum by (le) (${increase("http_request_duration_seconds_bucket", used)})`, "{{le}}"]]
      },
      {
        title: "Requests to the cluster, p95",
        unit: "s",
        queries: [[quantile(0.95, "kube_request_duration_seconds", service, "verb, le"), "{{verb}}"]]
      },
      {
        title: "Synthetic query: duration of each step",
        unit: "s",
        queries: [[`max by (step) (synthetic_query_duration_seconds{${probe}})`, "{{step}}"]]
      }
    ]
  ],
  [
    "Saturation",
    [
      {
        title: "Requests in flight",
        unit: "short",
        queries: [[`http_requests_in_flight{${service}}`, "{{instance}}"]]
      },
      {
        title: "Open connections",
        unit: "short",
        queries: [
          [`connections_open{${service}}`, "{{instance}}"],
          [`connection_addresses{${service}}`, "{{instance}} addresses"]
        ]
      },
      {
        title: "Requests shed and writes refused",
        description: "MAX_IN_FLIGHT and MAX_QUEUED_WRITES.",
        unit: "reqps",
        queries: [
          [`sum by (identified) (${rate("requests_shed_total", service)})`, "shed, identified: {{identified}}"],
          [`sum(${rate("cluster_writes_refused_total", service)})`, "writes"]
        ]
      },
      {
        title: "Writes under way",
        unit: "short",
        queries: [[`cluster_writes_present{${service}}`, "{{instance}}"]]
      },
      {
        title: "CPU",
        unit: "percentunit",
        queries: [[rate("process_cpu_seconds_total", service), "{{instance}}"]]
      },
      {
        title: "Event loop: busy",
        description: "One instance answers on one thread: at 100 % it has no more to give.",
        unit: "percentunit",
        queries: [
          [
            `${rate("nodejs_eventloop_active_seconds_total", service)} / (${rate("nodejs_eventloop_active_seconds_total", service)} + ${rate("nodejs_eventloop_idle_seconds_total", service)})`,
            "{{instance}}"
          ]
        ]
      },
      {
        title: "Event loop: delay",
        unit: "s",
        queries: [[`nodejs_eventloop_delay_seconds{${service}, statistic=~"p99|max"}`, "{{instance}} {{statistic}}"]]
      },
      {
        title: "Memory",
        unit: "bytes",
        queries: [
          [`process_resident_memory_bytes{${service}}`, "{{instance}} resident"],
          [`nodejs_heap_used_bytes{${service}}`, "{{instance}} heap"]
        ]
      },
      {
        title: "Garbage collection: part of the time",
        unit: "percentunit",
        queries: [[`sum by (instance) (${rate("nodejs_gc_duration_seconds_sum", service)})`, "{{instance}}"]]
      },
      {
        title: "Open file descriptors",
        unit: "percentunit",
        queries: [[`process_open_fds{${service}} / process_max_fds{${service}}`, "{{instance}}"]]
      },
      {
        title: "Log lines dropped",
        description: "Whoever reads the log does not keep up.",
        unit: "ops",
        queries: [[rate("log_lines_dropped_total", service), "{{instance}}"]]
      }
    ]
  ],
  [
    "Cache and informer",
    [
      {
        title: "Age of what is known",
        description: "0 while both watches are live. The alert KubeResourceApiStaleCache fires above two minutes.",
        unit: "s",
        queries: [[`cache_age_seconds{${service}}`, "{{instance}}"]]
      },
      {
        title: "In the cache",
        unit: "short",
        queries: [
          [`cache_namespaces{${service}}`, "{{instance}} namespaces"],
          [`cache_deployments{${service}}`, "{{instance}} deployments"]
        ]
      },
      {
        title: "Watches open",
        unit: "none",
        queries: [[`informer_connected{${service}}`, "{{instance}} {{resource}}"]]
      },
      {
        title: "Since the last bookmark",
        unit: "s",
        queries: [[`informer_bookmark_age_seconds{${service}}`, "{{instance}} {{resource}}"]]
      },
      {
        title: "Events",
        unit: "ops",
        queries: [[`sum by (type) (${rate("cache_events_total", service)})`, "{{type}}"]]
      },
      {
        title: "From the informer to the cache, p99",
        unit: "s",
        queries: [[quantile(0.99, "cache_apply_lag_seconds", service), "p99"]]
      },
      {
        title: "Watches that ended",
        unit: "short",
        queries: [
          [`sum by (resource, reason) (${increase("informer_watch_ends_total", service)})`, "{{resource}} {{reason}}"]
        ]
      },
      {
        title: "Whole lists taken",
        unit: "short",
        queries: [[`sum by (resource, reason) (informer_relists_total{${service}})`, "{{resource}} {{reason}}"]]
      },
      {
        title: "Answers that could not be read",
        unit: "short",
        queries: [[`sum by (resource) (informer_decode_errors_total{${service}})`, "{{resource}}"]]
      }
    ]
  ],
  [
    "Shared cache",
    [
      {
        title: "Follows the cluster for all",
        description: "With CACHE=redis: 1 at one instance, and for a moment at none while another takes its place.",
        unit: "none",
        queries: [[`shared_cache_leader{${service}}`, "{{instance}}"]]
      },
      {
        title: "Reads from Redis",
        unit: "none",
        queries: [[`shared_cache_connected{${service}}`, "{{instance}}"]]
      },
      {
        title: "Began to follow the cluster",
        description: "Each time costs the cluster a whole list.",
        unit: "short",
        queries: [[increase("shared_cache_leaderships_total", service), "{{instance}}"]]
      },
      {
        title: "From the one to the others, p99",
        unit: "s",
        queries: [[quantile(0.99, "shared_cache_lag_seconds", service), "p99"]]
      },
      {
        title: "Entries read",
        unit: "ops",
        queries: [[`sum by (instance) (${rate("shared_cache_entries_total", service)})`, "{{instance}}"]]
      },
      {
        title: "Snapshots read",
        unit: "short",
        queries: [
          [`sum by (reason) (shared_cache_loads_total{${service}})`, "{{reason}}"],
          [`sum(shared_cache_load_failures_total{${service}})`, "failed"]
        ]
      }
    ]
  ],
  [
    "Security",
    [
      {
        title: "TLS handshakes",
        unit: "ops",
        queries: [[`sum by (result) (${rate("tls_handshakes_total", service)})`, "{{result}}"]]
      },
      {
        title: "Client certificates",
        unit: "ops",
        queries: [[`sum by (result) (${rate("tls_client_certificates_total", service)})`, "{{result}}"]]
      },
      {
        title: "Refused: unidentified (403), not permitted (401), too many (429)",
        unit: "reqps",
        queries: [[`sum by (code) (${rate("http_requests_total", `${service}, code=~"401|403|429"`)})`, "{{code}}"]]
      },
      {
        title: "Refused for want of tokens",
        unit: "reqps",
        queries: [[`sum by (budget) (${rate("rate_limited_total", service)})`, "{{budget}}"]]
      },
      {
        title: "Connections refused and ended",
        unit: "ops",
        queries: [
          [`sum by (reason) (${rate("connections_refused_total", service)})`, "refused: {{reason}}"],
          [`sum by (reason) (${rate("connections_evicted_total", service)})`, "ended: {{reason}}"]
        ]
      },
      {
        title: "Decisions of who may do what",
        unit: "ops",
        queries: [
          [
            `sum by (verb, resource, decision) (${rate("authorization_decisions_total", service)})`,
            "{{verb}} {{resource}} {{decision}}"
          ]
        ]
      },
      {
        title: "Decisions of the cluster that were kept",
        description: "With AUTHORIZATION=kubernetes.",
        unit: "percentunit",
        queries: [
          [
            `sum(${rate("access_review_cache_total", `${service}, result="hit"`)}) / sum(${rate("access_review_cache_total", service)})`,
            "kept"
          ]
        ]
      },
      {
        title: "TLS files: time left",
        unit: "dtdurations",
        kind: "stat",
        queries: [[`min by (file) (tls_certificate_expiry_timestamp_seconds{${service}}) - time()`, "{{file}}"]]
      },
      {
        title: "Files taken anew",
        unit: "short",
        queries: [
          [`sum by (outcome) (tls_reloads_total{${service}})`, "TLS {{outcome}}"],
          [`sum by (outcome) (policy_reloads_total{${service}})`, "policy {{outcome}}"]
        ]
      }
    ]
  ],
  [
    "Adoption",
    [
      {
        title: "Users within the day",
        description:
          "Each instance counts those that it has seen: the service has at least as many as the instance with most.",
        unit: "short",
        kind: "stat",
        queries: [[`max(distinct_users{${service}, window="1d"})`, "users"]]
      },
      {
        title: "Users within the hour",
        unit: "short",
        queries: [[`max(distinct_users{${service}, window="1h"})`, "users"]]
      },
      {
        title: "Requests by kind of user",
        unit: "reqps",
        queries: [[`sum by (user_kind) (${rate("requests_by_user_kind_total", service)})`, "{{user_kind}}"]]
      },
      {
        title: "Reads and writes",
        unit: "reqps",
        queries: [[`sum by (access) (${rate("requests_by_user_kind_total", service)})`, "{{access}}"]]
      }
    ]
  ],
  [
    "Instances",
    [
      {
        title: "Up",
        unit: "none",
        queries: [[`up{${service}}`, "{{instance}}"]]
      },
      {
        title: "Versions",
        unit: "short",
        kind: "stat",
        queries: [[`count by (version, node) (build_info{${service}})`, "{{version}} on Node {{node}}"]]
      },
      {
        title: "Running for",
        unit: "dtdurations",
        kind: "stat",
        queries: [[`time() - process_start_time_seconds{${service}}`, "{{instance}}"]]
      },
      {
        title: "Started within the hour",
        unit: "short",
        queries: [["job:instance_turnover:count1h", "instances"]]
      },
      {
        title: "Shutting down",
        unit: "short",
        queries: [[`sum(instance_shutdowns_total{${service}})`, "instances"]]
      },
      {
        title: "Pods that are ready",
        description: "From kube-state-metrics.",
        unit: "short",
        queries: [
          [
            'sum(kube_pod_status_ready{condition="true", pod=~"kube-resource-api-.+", pod!~"kube-resource-api-(?:probe|watcher)-.+"})',
            "ready to serve"
          ],
          ['sum(kube_pod_status_ready{condition="true", pod=~"kube-resource-api-watcher-.+"})', "watchers, ready"]
        ]
      }
    ]
  ]
]

const datasource = { type: "prometheus", uid: "${datasource}" }
const width = 6
const height = 7
const perLine = 24 / width

const target = (kind: Panel["kind"], expr: string, legendFormat: string, index: number) => ({
  refId: String.fromCodePoint(65 + index),
  datasource,
  expr,
  legendFormat,
  ...(kind === "heatmap" ? { format: "heatmap" } : {}),
  ...(kind === "stat" ? { instant: true } : {})
})

/** The dashboard as Grafana imports it. */
export const dashboard = () => {
  const panels: Array<object> = []
  let y = 0
  let id = 1
  for (const [title, inRow] of rows) {
    panels.push({ id: id++, type: "row", title, collapsed: false, panels: [], gridPos: { h: 1, w: 24, x: 0, y } })
    y += 1
    for (const [at, { description, kind, queries, title, unit }] of inRow.entries()) {
      panels.push({
        id: id++,
        type: kind ?? "timeseries",
        title,
        ...(description === undefined ? {} : { description }),
        datasource,
        gridPos: { h: height, w: width, x: (at % perLine) * width, y: y + Math.floor(at / perLine) * height },
        fieldConfig: { defaults: { unit, ...(unit === "percentunit" ? { min: 0 } : {}) }, overrides: [] },
        ...(kind === "heatmap" ? { options: { calculate: false, yAxis: { unit } } } : {}),
        targets: queries.map(([expr, legend], index) => target(kind, expr, legend, index))
      })
    }
    y += Math.ceil(inRow.length / perLine) * height
  }
  return {
    uid: "kube-resource-api",
    title: "kube-resource-api",
    description: "An HTTPS service that reads and sets replica counts.",
    tags: ["kube-resource-api"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    time: { from: "now-3h", to: "now" },
    refresh: "30s",
    timezone: "browser",
    annotations: {
      list: [
        {
          name: "Alerts",
          datasource,
          enable: true,
          iconColor: "red",
          expr: 'ALERTS{alertname=~"KubeResourceApi.+", alertstate="firing"}',
          titleFormat: "{{alertname}}"
        }
      ]
    },
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Data source" },
        {
          name: "instance",
          type: "query",
          label: "Instance",
          datasource,
          query: { query: 'label_values(up{job="kube-resource-api"}, instance)', refId: "instance" },
          refresh: 2,
          multi: true,
          includeAll: true,
          allValue: ".*",
          current: { text: "All", value: "$__all" }
        }
      ]
    },
    panels
  }
}

const path = new URL("../deploy/grafana/kube-resource-api.json", import.meta.url)

if (import.meta.main) writeFileSync(path, `${JSON.stringify(dashboard(), undefined, 2)}\n`)
