import { assert, describe, it } from "@effect/vitest"
import { globSync, readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const root = new URL("../..", import.meta.url).pathname

/** The folders, and files beside them, from which each may import. Any other import is one in the wrong direction. */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  "main.ts": ["Program.ts"],
  "Program.ts": ["Service.ts", "observability", "settings"],
  "Service.ts": [
    "server",
    "http",
    "cache",
    "model",
    "kube",
    "shared",
    "embedded",
    "authorization",
    "identity",
    "limits",
    "observability",
    "settings"
  ],
  server: ["http", "contract", "identity", "limits", "observability", "settings"],
  http: ["cache", "contract", "model", "authorization", "identity", "limits", "observability"],
  // It implements the observers that these folders declare.
  observability: ["authorization", "cache", "contract", "identity", "kube", "model", "shared"],
  limits: ["contract", "identity", "model", "observability", "settings"],
  authorization: ["contract", "identity", "model", "settings"],
  identity: ["settings"],
  cache: ["contract", "model"],
  kube: ["contract", "model", "retry"],
  shared: ["contract", "model", "retry", "settings"],
  embedded: ["contract", "kube", "model", "settings"],
  model: ["contract"],
  settings: ["contract"],
  client: ["contract"],
  contract: [],
  retry: [],
  probe: ["client", "contract", "model", "observability", "server", "settings"],
  e2e: ["kube", "settings"]
}

const files = globSync("src/**/*.ts", { cwd: root })

const specifiers = (file: string): ReadonlyArray<string> =>
  Array.from(
    readFileSync(join(root, file), "utf8").matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g),
    ([, found = ""]) => found
  )

/** The files that each file imports, also for types alone. */
const imports = new Map(
  files.map((file) => [
    file,
    specifiers(file)
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => normalize(join(dirname(file), specifier)))
      .filter((target) => target.startsWith("src/"))
  ])
)

const folderOf = (file: string): string => file.split("/")[1] ?? ""

const folders = new Map<string, Set<string>>()
for (const [file, targets] of imports) {
  const from = folderOf(file)
  const known = folders.get(from) ?? new Set()
  for (const target of targets.map(folderOf)) if (target !== from) known.add(target)
  folders.set(from, known)
}

type Graph = ReadonlyMap<string, Iterable<string>>

/** A path from a node back to itself. */
const cycleIn = (graph: Graph): ReadonlyArray<string> | undefined => {
  const done = new Set<string>()
  const visit = (node: string, path: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const found = visit(next, [...path, node])
      if (found !== undefined) return found
    }
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const found = visit(node, [])
    if (found !== undefined) return found
  }
  return undefined
}

/** All that these files import, directly or not, with themselves. */
const reachable = (from: ReadonlyArray<string>): ReadonlySet<string> => {
  const found = new Set(from)
  for (const file of found) for (const target of imports.get(file) ?? []) found.add(target)
  return found
}

describe("imports", () => {
  it("every imported file exists", () => {
    assert.isAbove(files.length, 100)
    for (const [file, targets] of imports) assert.includeMembers(files, targets, file)
  })

  it("no file imports itself through others", () => assert.isUndefined(cycleIn(imports)))

  it("no folder imports itself through others", () => assert.isUndefined(cycleIn(folders)))

  it("point one way", () => {
    for (const [folder, targets] of folders) {
      assert.includeMembers(["", ...(mayImport[folder] ?? [])], [...targets], folder)
    }
  })

  it("contract and client reach no other folder, and no package but Effect's", () => {
    const reached = [...reachable(files.filter((file) => ["contract", "client"].includes(folderOf(file))))]
    assert.sameMembers([...new Set(reached.map(folderOf))], ["client", "contract"])
    const packages = reached.flatMap(specifiers).filter((specifier) => !specifier.startsWith("."))
    for (const specifier of packages) assert.match(specifier, /^(?:effect|@effect\/platform-node)(?:\/|$)/)
  })

  it("the modules of @effect/platform-node are imported one by one: the barrel loads redis and ws", () => {
    for (const file of files) assert.notInclude(specifiers(file), "@effect/platform-node", file)
  })

  it("main.ts has fewer than 40 lines", () => {
    assert.isBelow(readFileSync(join(root, "src/main.ts"), "utf8").trimEnd().split("\n").length, 40)
  })
})
