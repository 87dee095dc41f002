/** Writes deploy/grafana/kube-resource-api.json, the Grafana dashboard, from the rows below. */
import type { Builder } from "@grafana/grafana-foundation-sdk/cog"
import { ReduceDataOptionsBuilder, VizLegendOptionsBuilder } from "@grafana/grafana-foundation-sdk/common"
import * as Dashboard from "@grafana/grafana-foundation-sdk/dashboard"
import * as Heatmap from "@grafana/grafana-foundation-sdk/heatmap"
import * as Prometheus from "@grafana/grafana-foundation-sdk/prometheus"
import * as Stat from "@grafana/grafana-foundation-sdk/stat"
import * as Timeseries from "@grafana/grafana-foundation-sdk/timeseries"
import * as Unit from "@grafana/grafana-foundation-sdk/units"
import { writeFileSync } from "node:fs"

const datasource = { type: "prometheus", uid: "${datasource}" }
const job = 'job="kube-resource-api"'
const service = `${job}, instance=~"$instance"`
const used = `${service}, route!~"/livez|/readyz|/metrics"`
const reads = `${service}, route=~"/namespaces.*", method=~"GET|HEAD"`
const writes = `${service}, route=~"/namespaces.*", method="PUT"`
const probe = 'job="kube-resource-api-probe"'

const now = (metric: string, labels = service) => `${metric}{${labels}}`
const rate = (metric: string, labels = service) => `rate(${metric}{${labels}}[$__rate_interval])`
const increase = (metric: string, labels = service) => `increase(${metric}{${labels}}[$__rate_interval])`
const quantile = (q: number, metric: string, labels = service, by = "le") =>
  `histogram_quantile(${q}, sum by (${by}) (${rate(`${metric}_bucket`, labels)}))`

const query = (legend: string, expr: string) =>
  new Prometheus.DataqueryBuilder().datasource(datasource).expr(expr).legendFormat(legend)
/** One series for each combination of values of `labels`, with these values as its legend. */
const by = (labels: string, expr: string, aggregation = "sum") =>
  query(labels.replaceAll(/(\w+),?/g, "{{$1}}"), `${aggregation} by (${labels}) (${expr})`)
const latencies = (metric: string, labels: string) =>
  [50, 95, 99].map((p) => query(`p${p}`, quantile(p / 100, metric, labels)))

const graph = (title: string, unit: string, ...queries: Array<Prometheus.DataqueryBuilder>) => {
  const legend = new VizLegendOptionsBuilder().showLegend(true)
  const panel = new Timeseries.PanelBuilder().title(title).unit(unit).legend(legend).targets(queries)
  return unit === Unit.PercentUnit ? panel.min(0) : panel
}
const stat = (title: string, unit: string, target: Prometheus.DataqueryBuilder) => {
  const last = new ReduceDataOptionsBuilder().calcs(["lastNotNull"])
  return new Stat.PanelBuilder().title(title).unit(unit).reduceOptions(last).withTarget(target.instant())
}
const heatmap = (title: string, unit: string, buckets: Prometheus.DataqueryBuilder) =>
  new Heatmap.PanelBuilder()
    .title(title)
    .unit(unit)
    .yAxis(new Heatmap.YAxisConfigBuilder().unit(unit))
    .withTarget(buckets.format(Prometheus.PromQueryFormat.Heatmap))

type PanelBuilder = ReturnType<typeof graph | typeof stat | typeof heatmap>

const rows: Readonly<Record<string, ReadonlyArray<PanelBuilder>>> = {
  Traffic: [
    graph("Requests by endpoint", Unit.RequestsPerSecond, by("method, route", rate("http_requests_total", used))),
    graph("Requests by status", Unit.RequestsPerSecond, by("code", rate("http_requests_total", used))),
    graph("Writes by status", Unit.RequestsPerSecond, by("code", rate("http_requests_total", writes))),
    graph(
      "Response size, mean",
      Unit.BytesIEC,
      query(
        "{{route}}",
        `sum by (route) (${rate("http_response_size_bytes_sum", used)}) / sum by (route) (${rate("http_response_size_bytes_count", used)})`
      )
    )
  ],
  Errors: [
    graph(
      "Failed requests (5xx), share",
      Unit.PercentUnit,
      query("failed", "job:http_requests_failed:ratio_rate5m")
    ).description("Probes and scrapes are not counted. The alert KubeResourceApiErrorRate fires above 5 %."),
    graph(
      "Refused and failed",
      Unit.RequestsPerSecond,
      by("code", rate("http_requests_total", `${used}, code=~"[45].."`))
    ).description("499: the client disconnected before the response."),
    graph(
      "Synthetic query: success of each step",
      Unit.NoUnit,
      by("step", now("synthetic_query_success", probe), "min")
    ),
    graph(
      "Requests to the cluster that failed",
      Unit.OpsPerSecond,
      by("verb, code", rate("kube_requests_total", `${service}, code!~"2.."`))
    )
  ],
  Latency: [
    graph("Reads", Unit.Seconds, ...latencies("http_request_duration_seconds", reads)),
    graph("Writes", Unit.Seconds, ...latencies("http_request_duration_seconds", writes)),
    heatmap("All requests", Unit.Seconds, by("le", increase("http_request_duration_seconds_bucket", used))),
    graph(
      "Requests to the cluster, p95",
      Unit.Seconds,
      query("{{verb}}", quantile(0.95, "kube_request_duration_seconds", service, "verb, le"))
    ),
    graph(
      "Synthetic query: duration of each step",
      Unit.Seconds,
      by("step", now("synthetic_query_duration_seconds", probe), "max")
    )
  ],
  Saturation: [
    graph(
      "Requests in flight",
      Unit.Short,
      query("{{instance}}", `${now("http_requests_in_flight")} - ${now("waits_open")} - ${now("streams_open")}`)
    ).description("Without waits and event streams."),
    graph(
      "Open connections",
      Unit.Short,
      query("{{instance}}", now("connections_open")),
      query("{{instance}} addresses", now("connection_addresses"))
    ),
    graph(
      "Requests shed and writes refused",
      Unit.RequestsPerSecond,
      query("shed, identified: {{identified}}", `sum by (identified) (${rate("requests_shed_total")})`),
      query("writes", `sum(${rate("cluster_writes_refused_total")})`)
    ).description("MAX_IN_FLIGHT and MAX_QUEUED_WRITES."),
    graph("Writes in flight", Unit.Short, query("{{instance}}", now("cluster_writes_present"))),
    graph(
      "Response bytes in flight",
      Unit.BytesIEC,
      query("{{instance}}", now("response_bytes_in_flight"))
    ).description("Of large responses, up to MAX_RESPONSE_BYTES."),
    graph(
      "Reads refused for their size",
      Unit.RequestsPerSecond,
      query("{{instance}}", rate("response_bytes_refused_total"))
    ).description("MAX_RESPONSE_BYTES was reached: 503."),
    graph("CPU", Unit.PercentUnit, query("{{instance}}", rate("process_cpu_seconds_total"))),
    graph(
      "Event loop: busy",
      Unit.PercentUnit,
      query(
        "{{instance}}",
        `${rate("nodejs_eventloop_active_seconds_total")} / (${rate("nodejs_eventloop_active_seconds_total")} + ${rate("nodejs_eventloop_idle_seconds_total")})`
      )
    ).description("An instance serves requests on one thread: 100 % is its capacity."),
    graph(
      "Event loop: delay",
      Unit.Seconds,
      query("{{instance}} {{statistic}}", now("nodejs_eventloop_delay_seconds", `${service}, statistic=~"p99|max"`))
    ),
    graph(
      "Memory",
      Unit.BytesIEC,
      query("{{instance}} resident", now("process_resident_memory_bytes")),
      query("{{instance}} heap", now("nodejs_heap_used_bytes"))
    ),
    graph(
      "Garbage collection, share of time",
      Unit.PercentUnit,
      by("instance", rate("nodejs_gc_duration_seconds_sum"))
    ),
    graph(
      "Open file descriptors",
      Unit.PercentUnit,
      query("{{instance}}", `${now("process_open_fds")} / ${now("process_max_fds")}`)
    ),
    graph("Log lines dropped", Unit.OpsPerSecond, query("{{instance}}", rate("log_lines_dropped_total"))).description(
      "The reader of the log does not keep up."
    ),
    graph(
      "Writes refused by the audit log",
      Unit.RequestsPerSecond,
      query("{{instance}}", rate("audit_writes_refused_total"))
    ).description("The log is not read. The alert KubeResourceApiAuditBlocked fires at once.")
  ],
  Consumers: [
    graph(
      "Open waits and event streams",
      Unit.Short,
      query("{{instance}} waits", now("waits_open")),
      query("{{instance}} streams", now("streams_open"))
    ).description("Up to MAX_WAITERS and MAX_STREAMS."),
    graph(
      "Wakes and events",
      Unit.OpsPerSecond,
      query("woken: {{kind}}", `sum by (kind) (${rate("wakes_total")})`),
      query("sent: {{event}}", `sum by (event) (${rate("stream_events_total")})`)
    ).description("A slow consumer gets fewer events than its stream was woken."),
    graph("Ends of waits", Unit.OpsPerSecond, by("outcome", rate("waits_total"))),
    graph("Ends of event streams", Unit.OpsPerSecond, by("reason", rate("streams_ended_total"))).description(
      "Clients reconnect after shutdown and max_age. stalled: the client did not read."
    ),
    graph(
      "Waits and event streams refused (429)",
      Unit.RequestsPerSecond,
      query("waits: {{limit}}", `sum by (limit) (${rate("waits_refused_total")})`),
      query("streams: {{limit}}", `sum by (limit) (${rate("streams_refused_total")})`)
    ).description(
      "The alert KubeResourceApiStreamsRefused fires if the limit in total is reached for minutes. user: one user's half."
    ),
    graph(
      "Unchanged reads (304), share",
      Unit.PercentUnit,
      query(
        "{{route}}",
        `sum by (route) (${rate("http_requests_total", `${reads}, code="304"`)}) / sum by (route) (${rate("http_requests_total", reads)})`
      )
    ).description("Waits that ended without a change included."),
    graph(
      "Preconditions failed (412)",
      Unit.RequestsPerSecond,
      query("{{instance}}", rate("preconditions_failed_total"))
    )
  ],
  "Cache and informer": [
    graph("Cache age", Unit.Seconds, query("{{instance}}", now("cache_age_seconds"))).description(
      "0 while both watches are live. The alert KubeResourceApiStaleCache fires above two minutes."
    ),
    graph(
      "Cached objects",
      Unit.Short,
      query("{{instance}} namespaces", now("cache_namespaces")),
      query("{{instance}} deployments", now("cache_deployments"))
    ),
    graph("Open watches", Unit.NoUnit, query("{{instance}} {{resource}}", now("informer_connected"))),
    graph(
      "Time since the last bookmark",
      Unit.Seconds,
      query("{{instance}} {{resource}}", now("informer_bookmark_age_seconds"))
    ),
    graph("Events", Unit.OpsPerSecond, by("type", rate("cache_events_total"))),
    graph("Lag from informer to cache, p99", Unit.Seconds, query("p99", quantile(0.99, "cache_apply_lag_seconds"))),
    graph("Watches that ended", Unit.Short, by("resource, reason", increase("informer_watch_ends_total"))),
    graph("Relists", Unit.Short, by("resource, reason", now("informer_relists_total"))),
    graph(
      "Decode errors and skipped objects",
      Unit.Short,
      query("responses of {{resource}}", `sum by (resource) (${now("informer_decode_errors_total")})`),
      query("skipped {{resource}}", `sum by (resource) (${now("informer_objects_skipped_total")})`)
    ).description("The cache keeps the last known state of a skipped object. The log has its key.")
  ],
  "Shared cache": [
    graph("Leader", Unit.NoUnit, query("{{instance}}", now("shared_cache_leader"))).description(
      "With CACHE=redis: 1 at one instance, and briefly at none during a failover."
    ),
    graph("Redis out of memory", Unit.NoUnit, query("{{instance}}", now("shared_cache_out_of_memory"))).description(
      "1 on the leader while Redis refuses its writes. The alert KubeResourceApiRedisOutOfMemory fires after a minute."
    ),
    graph(
      "Connected to Redis",
      Unit.NoUnit,
      query("{{instance}}", now("shared_cache_connected")),
      query("{{instance}}: state of another cluster or of other namespaces", now("shared_cache_foreign"))
    ),
    graph(
      "Leader elections",
      Unit.Short,
      query("{{instance}}", increase("shared_cache_leaderships_total"))
    ).description("Each new leader lists the whole cluster."),
    graph("Lag from leader to readers, p99", Unit.Seconds, query("p99", quantile(0.99, "shared_cache_lag_seconds"))),
    graph("Entries read", Unit.OpsPerSecond, by("instance", rate("shared_cache_entries_total"))),
    graph(
      "Snapshots loaded",
      Unit.Short,
      by("reason", now("shared_cache_loads_total")),
      query("failed", `sum(${now("shared_cache_load_failures_total")})`)
    )
  ],
  Security: [
    graph("TLS handshakes", Unit.OpsPerSecond, by("result", rate("tls_handshakes_total"))),
    graph("Client certificates", Unit.OpsPerSecond, by("result", rate("tls_client_certificates_total"))),
    graph(
      "Refused: unidentified (403), denied (401), rate limited (429)",
      Unit.RequestsPerSecond,
      by("code", rate("http_requests_total", `${service}, code=~"401|403|429"`))
    ),
    graph("Rate limited requests", Unit.RequestsPerSecond, by("budget", rate("rate_limited_total"))),
    graph(
      "Connections refused and closed",
      Unit.OpsPerSecond,
      query("refused: {{reason}}", `sum by (reason) (${rate("connections_refused_total")})`),
      query("closed: {{reason}}", `sum by (reason) (${rate("connections_evicted_total")})`)
    ),
    graph(
      "Authorization decisions",
      Unit.OpsPerSecond,
      by("verb, resource, decision", rate("authorization_decisions_total"))
    ),
    graph(
      "Access reviews from the cache, share",
      Unit.PercentUnit,
      query(
        "cached",
        `sum(${rate("access_review_cache_total", `${service}, result="hit"`)}) / sum(${rate("access_review_cache_total")})`
      )
    ).description("With AUTHORIZATION=kubernetes."),
    stat(
      "TLS files: time to expiry",
      Unit.DurationSeconds,
      query("{{file}}", `min by (file) (${now("tls_certificate_expiry_timestamp_seconds")}) - time()`)
    ),
    graph(
      "File reloads",
      Unit.Short,
      query("TLS {{outcome}}", `sum by (outcome) (${now("tls_reloads_total")})`),
      query("policy {{outcome}}", `sum by (outcome) (${now("policy_reloads_total")})`)
    )
  ],
  Adoption: [
    stat(
      "Users in the last day",
      Unit.Short,
      query("users", `max(${now("distinct_users", `${service}, window="1d"`)})`)
    ).description(
      "Each instance counts the users that it has seen. The service has at least as many as the highest count."
    ),
    graph(
      "Users in the last hour",
      Unit.Short,
      query("users", `max(${now("distinct_users", `${service}, window="1h"`)})`)
    ),
    graph("Requests by kind of user", Unit.RequestsPerSecond, by("user_kind", rate("requests_by_user_kind_total"))),
    graph("Reads and writes", Unit.RequestsPerSecond, by("access", rate("requests_by_user_kind_total")))
  ],
  Instances: [
    graph("Up", Unit.NoUnit, query("{{instance}}", now("up"))),
    stat(
      "Versions",
      Unit.Short,
      query("{{version}} on Node {{node}}", `count by (version, node) (${now("build_info")})`)
    ),
    stat("Uptime", Unit.DurationSeconds, query("{{instance}}", `time() - ${now("process_start_time_seconds")}`)),
    graph("Started within the hour", Unit.Short, query("instances", "job:instance_turnover:count1h")),
    graph("Shutting down", Unit.Short, query("instances", `sum(${now("instance_shutdowns_total")})`)),
    graph(
      "Ready pods",
      Unit.Short,
      query(
        "servers",
        'sum(kube_pod_status_ready{condition="true", pod=~"kube-resource-api-.+", pod!~"kube-resource-api-(?:probe|watcher)-.+"})'
      ),
      query("watchers", 'sum(kube_pod_status_ready{condition="true", pod=~"kube-resource-api-watcher-.+"})')
    ).description("From kube-state-metrics.")
  ]
}

const variables: Array<Builder<Dashboard.VariableModel>> = [
  new Dashboard.DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"),
  new Dashboard.QueryVariableBuilder("instance")
    .label("Instance")
    .datasource(datasource)
    .query({ query: `label_values(up{${job}}, instance)`, refId: "instance" })
    .refresh(Dashboard.VariableRefresh.OnTimeRangeChanged)
    .multi(true)
    .includeAll(true)
    .allValue(".*")
    .current({ text: "All", value: "$__all" })
]

const alerts = new Dashboard.AnnotationQueryBuilder()
  .name("Alerts")
  .datasource(datasource)
  .iconColor("red")
  .expr('ALERTS{alertname=~"KubeResourceApi.+", alertstate="firing"}')
  .titleFormat("{{alertname}}")

/** The dashboard as Grafana imports it. */
export const dashboard = (): Dashboard.Dashboard => {
  const builder = new Dashboard.DashboardBuilder("kube-resource-api")
    .uid("kube-resource-api")
    .description("An HTTPS service that reads and sets replica counts.")
    .tags(["kube-resource-api"])
    .version(1)
    .time({ from: "now-3h", to: "now" })
    .refresh("30s")
    .annotation(alerts)
    .variables(variables)
  let id = 1
  for (const [title, panels] of Object.entries(rows)) {
    builder.withRow(new Dashboard.RowBuilder(title).id(id++))
    for (const panel of panels) builder.withPanel(panel.id(id++).datasource(datasource).span(6).height(7))
  }
  return builder.build()
}

const path = new URL("../deploy/grafana/kube-resource-api.json", import.meta.url)

if (import.meta.main) writeFileSync(path, `${JSON.stringify(dashboard(), undefined, 2)}\n`)
