/** Prints the results of the benchmarks as the Markdown tables and figures of docs/performance.md. */
import { Config, Effect } from "effect"
import { loadavg } from "node:os"
import { median, spread } from "./Spread.ts"

/** `BENCH_QUICK=1`: few and short rounds, which only show that the benchmark works. */
export const isQuick = Config.withDefault(Config.Boolean("BENCH_QUICK"), false)

/** Prints a line. */
export const print = (text: string) => Effect.sync(() => process.stdout.write(`${text}\n`))

/** Prints a title and the load average: on a busy machine, only the ratios are meaningful. */
export const title = (text: string) => print(`\n## ${text}\n\nLoad average before: ${loadavg()[0]?.toFixed(1)}\n`)

/** Prints a table with figures in all columns but the first. */
export const table = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>) => {
  const cells = [header, ...rows.map((row) => row.map(String))]
  const widths = header.map((_, column) => Math.max(3, ...cells.map((row) => (row[column] ?? "").length)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, column) => cell[column === 0 ? "padEnd" : "padStart"](widths[column] ?? 0)).join(" | ")} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`
  const [first = [], ...rest] = cells
  return print([line(first), rule, ...rest.map(line), ""].join("\n"))
}

/** The bounds of a figure. */
export interface Goal {
  readonly atMost?: number
  readonly atLeast?: number
}

/** Prints a main figure of the benchmark and its goal. */
export const result = (what: string, values: ReadonlyArray<number>, { atLeast, atMost }: Goal = {}, digits = 2) => {
  const middle = median(values)
  const met = middle <= (atMost ?? Infinity) && middle >= (atLeast ?? -Infinity) ? "met" : "MISSED"
  const goals = [
    ...(atMost === undefined ? [] : [`; goal: at most ${Number(atMost.toFixed(2))}: ${met}`]),
    ...(atLeast === undefined ? [] : [`; goal: at least ${atLeast}: ${met}`])
  ]
  return print(`${what}: ${spread(values, digits)}${goals.join("")}`)
}
