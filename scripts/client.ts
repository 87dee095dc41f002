/**
 * Builds the package of the typed client into dist/client, ready for `npm publish`, and packs it as
 * dist/kube-resource-api-client.tgz. The first argument names another folder than dist/.
 */
import { execFileSync } from "node:child_process"
import { cpSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import packageJson from "../package.json" with { type: "json" }

const root = new URL("..", import.meta.url).pathname
const dist = resolve(process.argv[2] ?? join(root, "dist"))
const folder = join(dist, "client")
const name = `${packageJson.name}-client`

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
execFileSync("tsc", ["--project", "scripts/client.tsconfig.json", "--outDir", folder], { cwd: root, stdio: "inherit" })

// `rewriteRelativeImportExtensions` rewrites the specifiers in the JavaScript alone.
for (const file of globSync("**/*.d.ts", { cwd: folder }).map((path) => join(folder, path))) {
  writeFileSync(file, readFileSync(file, "utf8").replaceAll(/(["'])(\.{1,2}\/[^"']+)\.ts\1/g, "$1$2.js$1"))
}

// Effect may change its unstable modules, `effect/http-api` among them, in a minor version.
const peer = (version: string): string => `~${version}`

const manifest = {
  name,
  version: packageJson.version,
  description: "The typed client of kube-resource-api, for Effect.",
  license: packageJson.license,
  type: packageJson.type,
  engines: packageJson.engines,
  sideEffects: false,
  exports: {
    ".": { types: "./client/Client.d.ts", default: "./client/Client.js" },
    "./testing": { types: "./client/testing/Testing.d.ts", default: "./client/testing/Testing.js" },
    "./package.json": "./package.json"
  },
  files: ["client", "contract"],
  peerDependencies: {
    "@effect/platform-node": peer(packageJson.dependencies["@effect/platform-node"]),
    effect: peer(packageJson.dependencies.effect)
  }
}
writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`)
cpSync(join(root, "LICENSE"), join(folder, "LICENSE"))
cpSync(join(root, "docs/client.md"), join(folder, "README.md"))

execFileSync("npm", ["pack", "--silent", "--pack-destination", dist], { cwd: folder, stdio: "ignore" })
renameSync(join(dist, `${name}-${packageJson.version}.tgz`), join(dist, `${name}.tgz`))
