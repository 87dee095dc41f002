import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import type { RbacRule } from "../../src/embedded/Access.ts"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"
import { ns } from "../cache/Given.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { file, serverPem } from "../support/Pki.ts"
import { type Overrides, TestService } from "../support/TestService.ts"

const account = "var/run/secrets/kubernetes.io/serviceaccount"

/** The files of a pod's service account as kubelet projects them, and a function that rotates the token. */
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

/** The service in a pod: the address of the API server comes from the environment, token and CA from the files. */
const inPod = (pod: ReturnType<typeof serviceAccount>, rules: ReadonlyArray<RbacRule>, overrides: Overrides = {}) =>
  TestService.layer({
    ...overrides,
    kube: {
      tls: serverPem(),
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

/** The response body, or the status if it is not 200. */
const body = (path: string, method = "GET") =>
  Effect.flatMap(TestService, ({ port }) => send(port, { client: "admin", path, method })).pipe(
    Effect.map((answer) => (answer.status === 200 ? answer.body : answer.status))
  )

/** Waits until a GET of `path` returns this body, or this status if it is not 200. */
const untilBody = (path: string, expected: string | number) =>
  eventually(body(path), (now) => assert.strictEqual(now, expected, path))

const count = "/namespaces/personal/deployments/nginx/replica_count"

describe("in a pod", () => {
  it.live("with a ClusterRole, reads and writes continue when kubelet rotates the token", () => {
    const pod = serviceAccount()
    return Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual(yield* body("/namespaces"), '{"namespaces":["default","kube-system","personal"]}')
      assert.strictEqual(yield* body(`${count}/3`, "PUT"), "{}")
      pod.project("token-2")
      // client-node reads the token file again after a minute, long before the old token expires.
      vi.setSystemTime(Date.now() + 61_000)
      yield* kube.setTokens(["token-2"])
      assert.strictEqual(yield* body(`${count}/4`, "PUT"), "{}")
      yield* kube.faults.dropWatches()
      yield* kube.cluster.scale("personal", "nginx", 5)
      yield* untilBody(count, '{"namespace":"personal","deployment":"nginx","replica_count":5}')
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

  it.live("with a Role in each of two namespaces, the service shows only these two", () =>
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
      const webs = "/namespaces/ANY/deployments/web/replica_count"
      yield* untilBody(webs, '[{"namespace":"default","deployment":"web","replica_count":2}]')
      yield* kube.faults.goneNow("deployments")
      yield* kube.cluster.scale("default", "web", 6)
      yield* untilBody(webs, '[{"namespace":"default","deployment":"web","replica_count":6}]')
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

  it.live("a namespace of KUBE_NAMESPACES appears when it is created and disappears when it is deleted", () =>
    Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      assert.strictEqual(yield* body("/namespaces"), '{"namespaces":["personal"]}')
      yield* kube.cluster.createNamespace("later")
      yield* kube.cluster.putDeployment("later", "web", 2)
      yield* untilBody("/namespaces", '{"namespaces":["later","personal"]}')
      yield* untilBody(
        "/namespaces/later/deployments/web/replica_count",
        '{"namespace":"later","deployment":"web","replica_count":2}'
      )
      yield* kube.cluster.deleteNamespace("later")
      yield* untilBody("/namespaces/later/deployments", 410)
    }).pipe(
      Effect.provide(
        inPod(serviceAccount(), [...role("later"), ...role("personal")], {
          watch: { namespaces: [ns("personal"), ns("later")], pollEvery: "50 millis" }
        })
      )
    )
  )

  it.live("a missing Role: not ready until it is granted", () => {
    const rules = [...role("default"), ...role("personal")]
    return Effect.gen(function* () {
      const kube = yield* EmbeddedKube
      yield* eventually(kube.requests, (asked) => asked.some(({ status }) => status === 403))
      assert.strictEqual(yield* body("/readyz"), 503)
      yield* kube.setRules(rules)
      yield* untilBody("/readyz", "{}")
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
