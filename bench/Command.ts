/** Programs of this machine. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { availableParallelism } from "node:os"

/** Runs a command and returns its output; dies with its error output if it fails. */
export const run = (command: string, words: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const child = execFile(command, words, { maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${command}: ${error.message}\n${stderr}`)))
    )
    return Effect.sync(() => child.kill())
  })

/** Ensures that `command` exists: root installs Debian's `pkg`, other users get an error with the command to run. */
export const installed = (command: string, pkg: string): Effect.Effect<void> =>
  Effect.catchDefect(Effect.asVoid(run("which", [command])), () =>
    process.getuid?.() === 0
      ? Effect.andThen(
          run("apt-get", ["update"]),
          Effect.asVoid(run("apt-get", ["install", "--yes", "--no-install-recommends", pkg]))
        )
      : Effect.die(new Error(`This benchmark needs ${command}: sudo apt-get install ${pkg}`))
  )

const hasCores = availableParallelism() > 1

/** Pins a server to the first core. */
export const onServerCore = (pid: number): Effect.Effect<void> =>
  hasCores ? Effect.asVoid(run("taskset", ["--all-tasks", "--cpu-list", "--pid", "0", String(pid)])) : Effect.void

/** Pins this process, and those that it starts from then on, to the second core, away from the servers. */
export const onLoadCore: Effect.Effect<void> = hasCores
  ? Effect.asVoid(run("taskset", ["--all-tasks", "--cpu-list", "--pid", "1", String(process.pid)]))
  : Effect.void

/** Runs a command on the second core, away from the servers. */
export const runOnLoadCore = (command: string, words: ReadonlyArray<string>): Effect.Effect<string> =>
  hasCores ? run("taskset", ["--cpu-list", "1", command, ...words]) : run(command, words)
