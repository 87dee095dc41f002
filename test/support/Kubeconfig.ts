import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Writes a kubeconfig with one cluster and one user, and returns its path. */
export const kubeconfig = (
  server: string,
  user: Readonly<Record<string, unknown>>,
  cluster: Readonly<Record<string, unknown>> = {}
): string => {
  const path = join(mkdtempSync(join(tmpdir(), "kube-resource-api-")), "config")
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      clusters: [{ name: "test", cluster: { ...cluster, server } }],
      users: [{ name: "test", user }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }]
    })
  )
  return path
}
