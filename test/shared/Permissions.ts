import { readFileSync } from "node:fs"

const documented = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8")
const [, commands = ""] = /`~\{<prefix>\}:\*\s+([^`]+)`/.exec(documented) ?? []
const [, sentinelCommands = ""] = /`(\+@connection \+sentinel[^`]+)`/.exec(documented) ?? []

/** The words of `ACL SETUSER` that give a user the documented permissions at the Redis servers. */
export const atServers = (keyPrefix: string): ReadonlyArray<string> => [`~{${keyPrefix}}:*`, ...commands.split(/\s+/)]

/** The same at the Sentinels. */
export const atSentinels: ReadonlyArray<string> = sentinelCommands.split(/\s+/)
