import { Deferred, Effect, type Scope } from "effect"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { eventually } from "./Eventually.ts"
import { clientSettings, file } from "./Pki.ts"

/** A running process: its output so far and its exit code. */
export interface Instance {
  readonly child: ChildProcess
  readonly output: () => string
  readonly exited: Effect.Effect<number>
  /** Waits until the output contains `text`. Dies if the process exits first. */
  readonly printed: (text: string) => Effect.Effect<void>
  /** The port that the process logs. */
  readonly port: Effect.Effect<number>
}

/** The settings of an instance with the demo cluster and a free port. */
export const demoSettings = {
  KUBE_SOURCE: "embedded",
  HOST: "127.0.0.1",
  PORT: "0",
  DRAIN_PERIOD: "300ms",
  TLS_CERT_FILE: file("server.crt"),
  TLS_KEY_FILE: file("server.key"),
  TLS_CLIENT_CA_FILE: file("ca.crt"),
  POLICY_FILE: "deploy/demo/policy.yaml"
}

/** Starts the program with only these settings, as a supervisor does. The end of the scope kills it. */
export const start = (
  environment: Readonly<Record<string, string>>,
  program = "src/main.ts"
): Effect.Effect<Instance, never, Scope.Scope> =>
  startCommand(process.execPath, [program], {
    PATH: "/usr/bin:/bin",
    HOME: "/nonexistent",
    // Compiled once for all processes: it takes a third of the CPU of a start.
    NODE_COMPILE_CACHE: fileURLToPath(new URL("../../node_modules/.cache/compiled", import.meta.url)),
    ...environment
  })

/** Starts a command with only this environment. The end of the scope kills it. */
export const startCommand = (
  command: string,
  words: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>>
): Effect.Effect<Instance, never, Scope.Scope> =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<number>()
    let text = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const process_ = spawn(command, words, {
          cwd: new URL("../..", import.meta.url),
          env: environment,
          stdio: ["pipe", "pipe", "pipe"]
        })
        process_.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
        process_.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()))
        process_.once("exit", (code) => Deferred.doneUnsafe(ended, Effect.succeed(code ?? -1)))
        return process_
      }),
      (process_) => Effect.sync(() => process_.kill("SIGKILL"))
    )
    const state = Effect.sync(() => ({ text, running: child.exitCode === null }))
    const printed = (expected: string) =>
      eventually(state, ({ running, text }) => text.includes(expected) || !running).pipe(
        Effect.flatMap(({ text }) =>
          text.includes(expected)
            ? Effect.void
            : Effect.die(new Error(`exited without printing "${expected}":\n${text}`))
        )
      )
    return {
      child,
      output: () => text,
      exited: Deferred.await(ended),
      printed,
      port: Effect.map(printed('"port"'), () => Number(/"port":\s*([0-9]+)/.exec(text)?.[1]))
    }
  })

/** Starts the conformance suite against the service on `port`. `settings` has the kubeconfig of the cluster. */
export const conformanceSuite = (port: number, settings: Readonly<Record<string, string>>) =>
  start(
    {
      E2E_URL: `https://localhost:${port}`,
      ...clientSettings("E2E", "admin"),
      E2E_DENIED_CERT_FILE: file("nobody.crt"),
      E2E_DENIED_KEY_FILE: file("nobody.key"),
      ...settings
    },
    "src/e2e/main.ts"
  )

/** A folder with the bundled program, outside of the repository. */
export const bundled: Effect.Effect<string> = Effect.sync(() => {
  const folder = join(mkdtempSync(join(tmpdir(), "kube-resource-api-bundle-")), "dist")
  execFileSync(process.execPath, ["scripts/bundle.ts", folder], { cwd: new URL("../..", import.meta.url) })
  return folder
})
