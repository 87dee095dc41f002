/**
 * Bundles the programs into dist/, or into the folder in the first argument. They need only Node: `node dist/main.js`. The same
 * sources give the same bytes. licenses.txt holds the licenses of the bundled packages.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { rolldown } from "rolldown"

const root = new URL("..", import.meta.url)
const dist = pathToFileURL(`${resolve(process.argv[2] ?? new URL("dist", root).pathname)}/`)
const programs = { main: "src/main.ts", probe: "src/probe/main.ts" }

const bundle = await rolldown({
  cwd: root.pathname,
  input: Object.fromEntries(Object.entries(programs).filter(([, path]) => existsSync(new URL(path, root)))),
  platform: "node",
  treeshake: {
    // Its package.json does not say so, but its modules have no side effects. The classes that it generates for each Kubernetes
    // object are not needed, and take longest to load.
    moduleSideEffects: [{ test: /node_modules\/@kubernetes\/client-node\//, sideEffects: false }]
  }
})
mkdirSync(dist, { recursive: true })
for (const file of readdirSync(dist).filter((name) => name.endsWith(".js"))) rmSync(new URL(file, dist))
const { output } = await bundle.write({
  dir: dist.pathname,
  format: "esm",
  entryFileNames: "[name].js",
  chunkFileNames: "[name]-[hash].js",
  // licenses.txt has the licenses in full.
  comments: false
})
await bundle.close()
writeFileSync(new URL("package.json", dist), `${JSON.stringify({ type: "module" })}\n`)

const folders = new Set<string>()
for (const file of output) {
  if (file.type !== "chunk") continue
  for (const id of Object.keys(file.modules)) {
    const folder = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0]
    if (folder !== undefined) folders.add(folder)
  }
}
const licenses = [...folders].map((folder) => {
  const { license, name, version }: Record<string, unknown> = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"))
  const texts = readdirSync(folder)
    .filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file))
    .sort()
    .map((file) => readFileSync(`${folder}/${file}`, "utf8").trim())
  return `${String(name)} ${String(version)}: ${String(license)}\n\n${texts.join("\n\n")}\n`
})
writeFileSync(new URL("licenses.txt", dist), licenses.sort().join(`\n${"-".repeat(78)}\n\n`))
