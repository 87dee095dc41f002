import { execFileSync } from "node:child_process"

/** Certificates for every test, valid and faulty ones, made once before the first. */
export default () => {
  execFileSync("scripts/pki.sh", [".dev/test-pki", "faulty"], { cwd: new URL("..", import.meta.url), stdio: "inherit" })
}
