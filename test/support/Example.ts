/** The examples of docs/client.md, as programs in a project of their own. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { file } from "./Pki.ts"

/** The repository. */
export const root = new URL("../..", import.meta.url).pathname

const page = readFileSync(join(root, "docs/client.md"), "utf8")

/** The code block of docs/client.md whose first line names the file. */
const example = (name: string): string => {
  const found = page.split("```").find((block) => block.startsWith(`ts\n// ${name}\n`))
  if (found === undefined) throw new Error(`docs/client.md has no example ${name}`)
  return found.slice("ts\n".length)
}

const link = (target: string, path: string): void => {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

/** Runs a command and gives its output; a failure dies with the output. */
export const run = (
  command: string,
  words: ReadonlyArray<string>,
  folder: string,
  environment: Readonly<Record<string, string>> = {}
): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const env = {
      ...process.env,
      PATH: `${root}node_modules/.bin:${process.env["PATH"] ?? ""}`,
      ...environment
    }
    const child = execFile(command, [...words], { cwd: folder, env }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.die(new Error(`${command} ${words.join(" ")}\n${stdout}${stderr}`))
      )
    )
    return Effect.sync(() => child.kill())
  })

/** A project outside the repository: these examples, other files, a strict tsconfig.json, the certificates in .dev/pki. */
export const project = (examples: ReadonlyArray<string>, files: Readonly<Record<string, string>> = {}) =>
  Effect.sync(() => {
    const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-example-"))
    const compilerOptions = {
      target: "ESNext",
      module: "NodeNext",
      strict: true,
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ["node"]
    }
    const written = {
      "package.json": JSON.stringify({ type: "module", private: true }),
      "tsconfig.json": JSON.stringify({ compilerOptions }),
      ...Object.fromEntries(examples.map((name) => [name, example(name)])),
      ...files
    }
    for (const [name, text] of Object.entries(written)) writeFileSync(join(folder, name), text)
    link(dirname(file("ca.crt")), join(folder, ".dev/pki"))
    return folder
  })

/** Links packages of the repository into a project, as if they were installed there. */
export const linkPackages = (folder: string, ...names: ReadonlyArray<string>) =>
  Effect.sync(() => {
    for (const name of names) link(join(root, "node_modules", name), join(folder, "node_modules", name))
  })

/** Type-checks a project with the repository's compiler. */
export const typeCheck = (folder: string): Effect.Effect<string> => run("tsc", ["--project", folder], folder)

/** Runs a program of a project against the service on `port`. */
export const runExample = (folder: string, name: string, port: number): Effect.Effect<string> =>
  run("node", [name], folder, { SERVICE_URL: `https://localhost:${port}` })
