/** Generates the tables of settings in docs/ from the declarations of the settings. */
import { readFileSync, writeFileSync } from "node:fs"
import { markdown } from "../src/settings/Settings.ts"
import { markdown as probeMarkdown } from "../src/probe/ProbeConfig.ts"

for (const [page, table] of [
  ["configuration.md", markdown()],
  ["observability.md", probeMarkdown()]
] as const) {
  const path = new URL(`../docs/${page}`, import.meta.url)
  const [before = "", after = ""] = readFileSync(path, "utf8").split(/<!-- settings -->[\s\S]*<!-- end of settings -->/)
  writeFileSync(path, `${before}<!-- settings -->\n\n${table}\n\n<!-- end of settings -->${after}`)
}
