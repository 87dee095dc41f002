/** Debian's Prometheus and promtool, and the deployed rules. */
import { execFileSync, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { parse } from "yaml"
import { Schema } from "effect"

const root = new URL("../..", import.meta.url).pathname

/** The folder of the programs. */
export const programs = `${root}.dev/prometheus`

/** Fetches the programs if they are missing. */
export const install = (): void => {
  execFileSync("scripts/prometheus.sh", [programs], { cwd: root, stdio: "inherit" })
}

/** The path of the rules. */
export const rulesFile = `${root}deploy/prometheus/rules.yaml`

const Alert = Schema.Struct({
  alert: Schema.String,
  expr: Schema.String,
  labels: Schema.Struct({ severity: Schema.Literals(["warning", "critical"]) }),
  annotations: Schema.Struct({ summary: Schema.String, description: Schema.String, runbook: Schema.String })
})
const Recording = Schema.Struct({ record: Schema.String, expr: Schema.String })
const Rules = Schema.Struct({
  groups: Schema.Array(Schema.Struct({ name: Schema.String, rules: Schema.Array(Schema.Union([Alert, Recording])) }))
})

/** The alerts of the rules. */
export const alerts = (): ReadonlyArray<Schema.Schema.Type<typeof Alert>> =>
  Schema.decodeUnknownSync(Rules)(parse(readFileSync(rulesFile, "utf8"))).groups.flatMap(({ rules }) =>
    rules.filter((rule) => "alert" in rule)
  )

/** Runs promtool; returns its exit status and output. */
export const promtool = (args: ReadonlyArray<string>, input?: string) => {
  const { status, stderr, stdout } = spawnSync(`${programs}/promtool`, args, { encoding: "utf8", input: input ?? "" })
  return { status, output: `${stdout}${stderr}` }
}
