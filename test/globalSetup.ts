import { execFileSync } from "node:child_process"

/** Certificates for every test, valid and faulty ones, a Redis server and Python, got once before the first. */
export default () => {
  const run = (script: string, ...words: ReadonlyArray<string>) =>
    execFileSync(script, words, { cwd: new URL("..", import.meta.url), stdio: "inherit" })
  run("scripts/pki.sh", ".dev/test-pki", "faulty")
  run("scripts/redis.sh", ".dev/redis")
  run("scripts/python.sh", ".dev/python")
}
