/** Other programs of the machine. */
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { availableParallelism } from "node:os"

/** Runs a command to its end and gives what it printed; dies, with what it complained of, where it fails. */
export const run = (command: string, words: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const child = execFile(command, words, { maxBuffer: 1 << 28 }, (error, stdout, stderr) =>
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${command}: ${error.message}\n${stderr}`)))
    )
    return Effect.sync(() => child.kill())
  })

/** Sees to it that `command` is there: as root it installs Debian's `pkg`, else it says what to do. */
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

/** Keeps a server on the first core. */
export const onServerCore = (pid: number): Effect.Effect<void> =>
  hasCores ? Effect.asVoid(run("taskset", ["--all-tasks", "--cpu-list", "--pid", "0", String(pid)])) : Effect.void

/** Runs a command beside the servers, on the second core, so that neither waits for the other. */
export const runOnLoadCore = (command: string, words: ReadonlyArray<string>): Effect.Effect<string> =>
  hasCores ? run("taskset", ["--cpu-list", "1", command, ...words]) : run(command, words)
