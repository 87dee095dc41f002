import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import type { RbacRule } from "../../src/embedded/Access.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import { ns } from "../cache/Given.ts"
import { send } from "../support/Https.ts"
import { file } from "../support/Pki.ts"
import { type Overrides, TestService } from "../support/TestService.ts"

const account = "var/run/secrets/kubernetes.io/serviceaccount"

/** The files of a pod's service account as kubelet projects them, and what rotates the token. */
const serviceAccount = () => {
  const root = mkdtempSync(join(tmpdir(), "kube-resource-api-pod-"))
  const folder = join(root, account)
  mkdirSync(folder, { recursive: true })
  let generation = 0
  const project = (token: string) => {
    const data = `..${++generation}`
    mkdirSync(join(folder, data))
    writeFileSync(join(folder, data, "token"), token)
    writeFileSync(join(folder, data, "ca.crt"), readFileSync(file("ca.crt")))
    writeFileSync(join(folder, data, "namespace"), "personal")
    symlinkSync(data, join(folder, "..data_tmp"))
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"))
  }
  project("token-1")
  for (const name of ["token", "ca.crt", "namespace"]) symlinkSync(join("..data", name), join(folder, name))
  return { root, project }
}

const role = (namespace: string): ReadonlyArray<RbacRule> => [
  { namespace, apiGroups: [""], resources: ["namespaces"], resourceNames: [namespace], verbs: ["get"] },
  { namespace, apiGroups: ["apps"], resources: ["deployments"], verbs: ["list", "watch"] },
  { namespace, apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"] }
]

/** The service as it runs in a pod: where the API server is comes from the environment, all else from the files. */
const inPod = (pod: ReturnType<typeof serviceAccount>, rules: ReadonlyArray<RbacRule>, overrides: Overrides = {}) =>
  TestService.layer({
    ...overrides,
    kube: {
      tls: { cert: readFileSync(file("server.crt"), "utf8"), key: readFileSync(file("server.key"), "utf8") },
      tokens: ["token-1"],
      rules
    },
    kubeConfig: (url) =>
      Layer.unwrap(
        Effect.sync(() => {
          vi.stubEnv("KUBERNETES_SERVICE_HOST", new URL(url).hostname)
          vi.stubEnv("KUBERNETES_SERVICE_PORT", new URL(url).port)
          return KubeConfig.layer({ source: "auto", serviceAccountRoot: pod.root })
        })
      )
  })

const body = (path: string, method = "GET") =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client: "admin", path, method })).pipe(
    Effect.map((answer) => (answer.status === 200 ? answer.body : answer.status))
  )

const until = <E, R>(expected: string | number, ask: Effect.Effect<string | number, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(ask, (answer) =>
    answer === expected ? Effect.void : Effect.andThen(Effect.sleep(20), until(expected, ask))
  )

const count = "/namespaces/personal/deployments/nginx/replica_count"

describe("in a pod", () => {
  it.live("a ClusterRole: reads and writes, and goes on when kubelet rotates the token", () => {
    const pod = serviceAccount()
    return Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual(yield* body("/namespaces"), '{"namespaces":["default","kube-system","personal"]}')
      assert.strictEqual(yield* body(`${count}/3`, "PUT"), "{}")
      pod.project("token-2")
      // client-node reads the file again after a minute; the token before is good for much longer than that.
      vi.setSystemTime(Date.now() + 61_000)
      yield* kube.setTokens(["token-2"])
      assert.strictEqual(yield* body(`${count}/4`, "PUT"), "{}")
      yield* kube.faults.dropWatches()
      yield* kube.cluster.scale("personal", "nginx", 5)
      yield* until('{"namespace":"personal","deployment":"nginx","replica_count":5}', body(count))
    }).pipe(
      Effect.ensuring(Effect.sync(() => vi.useRealTimers())),
      Effect.provide(
        inPod(pod, [
          { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] },
          { apiGroups: ["apps"], resources: ["deployments"], verbs: ["list", "watch"] },
          { apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"] }
        ])
      )
    )
  })

  it.live("a Role in each of two namespaces: those two are served, and nothing else exists", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual(yield* body("/namespaces"), '{"namespaces":["default","personal"]}')
      assert.strictEqual(
        yield* body("/namespaces/ANY/deployments"),
        '[{"namespace":"default","deployments":[]},{"namespace":"personal","deployments":["kafka","nginx","resource-access"]}]'
      )
      assert.strictEqual(yield* body("/namespaces/kube-system/deployments"), 410)
      assert.strictEqual(yield* body("/namespaces/kube-system/deployments/fred/replica_count/3", "PUT"), 410)
      assert.strictEqual(yield* body("/namespaces/ANY/deployments/fred/replica_count"), 410)
      assert.strictEqual(yield* body(`${count}/9`, "PUT"), "{}")
      assert.strictEqual(yield* body(count), '{"namespace":"personal","deployment":"nginx","replica_count":9}')
      yield* kube.cluster.putDeployment("default", "web", 2)
      yield* kube.cluster.putDeployment("kube-system", "web", 2)
      yield* until(
        '[{"namespace":"default","deployment":"web","replica_count":2}]',
        body("/namespaces/ANY/deployments/web/replica_count")
      )
      yield* kube.faults.goneNow("deployments")
      yield* kube.cluster.scale("default", "web", 6)
      yield* until(
        '[{"namespace":"default","deployment":"web","replica_count":6}]',
        body("/namespaces/ANY/deployments/web/replica_count")
      )
      assert.strictEqual(yield* body(count), '{"namespace":"personal","deployment":"nginx","replica_count":9}')
      const asked = yield* kube.requests
      assert.isTrue(
        asked.every(({ path }) => /^\/api(?:s\/apps)?\/v1\/namespaces\/(?:default|personal)(?:\/|$|\?)/.test(path))
      )
      assert.isEmpty(asked.filter(({ status }) => status === 403))
    }).pipe(
      Effect.provide(
        inPod(serviceAccount(), [...role("default"), ...role("personal")], {
          watch: { namespaces: [ns("default"), ns("personal")] }
        })
      )
    )
  )

  it.live("a listed namespace is gone once it is deleted, and there once it is created", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual(yield* body("/namespaces"), '{"namespaces":["personal"]}')
      yield* kube.cluster.createNamespace("later")
      yield* kube.cluster.putDeployment("later", "web", 2)
      yield* until('{"namespaces":["later","personal"]}', body("/namespaces"))
      yield* until(
        '{"namespace":"later","deployment":"web","replica_count":2}',
        body("/namespaces/later/deployments/web/replica_count")
      )
      yield* kube.cluster.deleteNamespace("later")
      yield* until(410, body("/namespaces/later/deployments"))
    }).pipe(
      Effect.provide(
        inPod(serviceAccount(), [...role("later"), ...role("personal")], {
          watch: { namespaces: [ns("personal"), ns("later")], pollEvery: "50 millis" }
        })
      )
    )
  )

  it.live("one Role that is missing: not ready until it is granted", () => {
    const rules = [...role("default"), ...role("personal")]
    return Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* until(
        403,
        Effect.map(kube.requests, (asked) => asked.find(({ status }) => status === 403)?.status ?? 0)
      )
      assert.strictEqual(yield* body("/readyz"), 503)
      yield* kube.setRules(rules)
      yield* until("{}", body("/readyz"))
    }).pipe(
      Effect.provide(
        inPod(serviceAccount(), role("default"), {
          watch: { namespaces: [ns("default"), ns("personal")], backoffFirst: "50 millis" },
          unsynced: Effect.void
        })
      )
    )
  })
})
