import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { parseRoute } from "../../src/embedded/KubeRoute.ts"
import type { RbacRule } from "../../src/embedded/Access.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import * as TokenRouter from "../support/TokenRouter.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { demoSettings, start } from "../support/Process.ts"
import * as RedisServer from "../support/RedisServer.ts"
import { chart, type Manifest, named, render } from "./Manifest.ts"
import { PodSpec } from "./PodSecurity.ts"

const Role = Schema.Struct({
  kind: Schema.Literals(["Role", "ClusterRole"]),
  metadata: Schema.Struct({ name: Schema.String, namespace: Schema.optionalKey(Schema.String) }),
  rules: Schema.Array(
    Schema.Struct({
      apiGroups: Schema.Array(Schema.String),
      resources: Schema.Array(Schema.String),
      verbs: Schema.Array(Schema.Literals(["list", "watch", "get", "patch", "update", "create", "delete"])),
      resourceNames: Schema.optionalKey(Schema.Array(Schema.String))
    })
  )
})
const Binding = Schema.Struct({
  kind: Schema.Literals(["RoleBinding", "ClusterRoleBinding"]),
  metadata: Schema.Struct({ namespace: Schema.optionalKey(Schema.String) }),
  roleRef: Schema.Struct({ kind: Schema.String, name: Schema.String }),
  subjects: Schema.Array(Schema.Struct({ kind: Schema.String, name: Schema.String, namespace: Schema.String }))
})
const decodeRole = Schema.decodeUnknownEffect(Role)
const decodeBinding = Schema.decodeUnknownEffect(Binding)
const decodeDeployment = Schema.decodeUnknownEffect(
  Schema.Struct({
    spec: Schema.Struct({
      template: Schema.Struct({
        spec: Schema.Struct({ ...PodSpec.fields, serviceAccountName: Schema.String })
      })
    })
  })
)

/** The rules of an account, by the bindings whose only subject it is. */
const rulesOf = Effect.fnUntraced(function* (manifests: ReadonlyArray<Manifest>, account: string) {
  const roles = yield* Effect.forEach(
    manifests.filter(({ kind }) => kind === "Role" || kind === "ClusterRole"),
    (one) => decodeRole(one)
  )
  const bindings = yield* Effect.forEach(
    manifests.filter(({ kind }) => kind.endsWith("RoleBinding")),
    (one) => decodeBinding(one)
  )
  assert.strictEqual(bindings.length, roles.length)
  return bindings.flatMap(({ metadata, roleRef, subjects }): ReadonlyArray<RbacRule> => {
    assert.strictEqual(subjects.length, 1)
    const [subject] = subjects
    assert.deepInclude(subject, { kind: "ServiceAccount", namespace: "served" })
    if (subject?.name !== account) return []
    const role = roles.find(
      (one) =>
        one.kind === roleRef.kind && one.metadata.name === roleRef.name && one.metadata.namespace === metadata.namespace
    )
    assert(role !== undefined, `${roleRef.kind} ${roleRef.name}`)
    const { namespace } = metadata
    return role.rules.map((rule) => Object.assign({ namespace }, rule))
  })
})

/** A permission as text. */
const line = (permission: {
  readonly namespace: string | undefined
  readonly group: string
  readonly resource: string
  readonly verb: string
  readonly name: string | undefined
}) =>
  [
    permission.namespace === undefined ? "everywhere" : `in ${permission.namespace}`,
    permission.verb,
    `${permission.resource}${permission.group === "" ? "" : `.${permission.group}`}`,
    permission.name ?? ""
  ]
    .join(" ")
    .trim()

const granted = (rules: ReadonlyArray<RbacRule>): ReadonlyArray<string> =>
  rules.flatMap(({ apiGroups, namespace, resourceNames = [undefined], resources, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs.flatMap((verb) => resourceNames.map((name) => line({ namespace, group, resource, verb, name })))
      )
    )
  )

/** The permission that a request needs, as narrow as a role of this scope can grant it. */
const needed = ({ method, path }: { readonly method: string; readonly path: string }, inNamespaces: boolean) => {
  const route = parseRoute(method, path)
  assert(typeof route !== "string", `${method} ${path}`)
  // An access review has no namespace.
  const namespace = inNamespaces ? route.namespace : undefined
  return line({ ...route, namespace, name: route.target._tag === "Namespace" ? route.target.name : undefined })
}

const count = "/namespaces/personal/deployments/nginx/replica_count"

/** A rendered Deployment: the rules of its service account, and its settings. */
interface Pod {
  readonly rules: ReadonlyArray<RbacRule>
  readonly env: Readonly<Record<string, string>>
}

/** A cluster with the rules of the pod's account, for which the token stands. Two of them look like the same cluster. */
const clusterFor = Effect.fnUntraced(function* ({ rules }: Pod, streamingLists: boolean, token: string) {
  const services = yield* Layer.build(
    EmbeddedKube.layer({
      seed: demoSeed,
      firstUid: 0,
      tokens: [token],
      rules,
      streamingLists,
      decideAccess: () => ({ allowed: true })
    })
  )
  return Context.get(services, EmbeddedKube)
})

/** An instance with the settings of a rendered pod. */
const running = Effect.fnUntraced(function* (
  { env }: Pod,
  kube: EmbeddedKube["Service"],
  { redis = "", token = "test", url = kube.url }: { redis?: string; token?: string; url?: string }
) {
  const { POLICY_FILE: _, ...own } = demoSettings
  const instance = yield* start({
    ...env,
    ...own,
    REDIS_URL: redis,
    KUBE_SOURCE: "kubeconfig",
    KUBECONFIG: kubeconfig(url, { token })
  })
  const port = yield* instance.port
  yield* instance.printed('"Ready"')
  return { kube, port, env }
})
type Running = Effect.Success<ReturnType<typeof running>>

/** Scrapes the instance. */
const scrape = Effect.fnUntraced(function* ({ port }: Running) {
  assert.strictEqual((yield* send(port, { client: "admin", path: "/metrics" })).status, 200)
})

/** Sends requests that cover all that the instance does in the cluster. */
const use = Effect.fnUntraced(function* ({ env, kube, port }: Running) {
  for (const path of [
    "/namespaces",
    "/namespaces/ANY/deployments",
    "/namespaces/ANY/deployments/ANY/replica_count",
    count
  ]) {
    assert.strictEqual((yield* send(port, { client: "admin", path })).status, 200, path)
  }
  const write = yield* send(port, { client: "admin", path: `${count}/5`, method: "PUT" })
  assert.strictEqual(write.status, 200, write.body)
  // The current count of a failed precondition is read from the cluster.
  const headers = { "if-match": '"4"' }
  const failed = yield* send(port, { client: "admin", path: `${count}/6`, method: "PUT", headers })
  assert.strictEqual(failed.status, 412, failed.body)
  if (env["AUDIT_EVENTS"] === "true") {
    yield* eventually(kube.events, (events) => events.length > 0)
  }
})

/** Ends the watches and waits until the instance has opened new ones. */
const watchAgain = Effect.fnUntraced(function* ({ kube }: Running) {
  yield* kube.faults.dropWatches()
  yield* kube.awaitWatches(1)
})

/** The permissions that the requests to the cluster needed. None was denied. */
const askedOf = Effect.fnUntraced(function* ({ env, kube }: Running) {
  const requests = yield* kube.requests
  assert.deepStrictEqual(
    requests.filter(({ status }) => status === 403),
    []
  )
  return requests.map((request) => needed(request, env["KUBE_NAMESPACES"] !== undefined))
})

const policy = () => {
  const path = join(mkdtempSync(join(tmpdir(), "kube-resource-api-policy-")), "policy.yaml")
  writeFileSync(
    path,
    'rules:\n  - subjects: {users: [admin]}\n    verbs: [list, get, set]\n    namespaces: ["*"]\n    deployments: ["*"]\n    metrics: true\n'
  )
  return path
}

const podsOf = Effect.fnUntraced(function* (manifests: ReadonlyArray<Manifest>) {
  return yield* Effect.forEach(named(manifests, "Deployment"), (manifest) =>
    Effect.gen(function* () {
      const { containers, serviceAccountName } = (yield* decodeDeployment(manifest)).spec.template.spec
      const env: Record<string, string> = {}
      for (const { name, value = "" } of containers.flatMap((one) => one.env ?? [])) env[name] = value
      if (env["POLICY_FILE"] !== undefined) env["POLICY_FILE"] = policy()
      delete env["METRICS_PORT"]
      // The Redis of the test has no certificate.
      delete env["REDIS_CA_FILE"]
      return { rules: yield* rulesOf(manifests, serviceAccountName), env }
    })
  )
})

// Each namespace has the same Role, but only one of them gets a write.
const same = (lines: Iterable<string>) =>
  [...new Set([...lines].map((text) => text.replaceAll("kube-system", "personal")))].sort()

const permits = ({ rules }: Pod, asked: ReadonlyArray<string>) => {
  const grantedLines = new Set(granted(rules))
  assert.deepStrictEqual(same(grantedLines), same(asked))
  for (const text of asked) assert.isTrue(grantedLines.has(text), text)
}

describe("the roles of the chart", () => {
  for (const values of ["minimal", "redis", "kubernetes-authorization", "namespaces", "namespaces-kubernetes"]) {
    it.live(`${values}: grant exactly the permissions that the service uses`, () =>
      Effect.gen(function* () {
        const [pod, ...others] = yield* podsOf(yield* render("--values", `${chart}/ci/${values}-values.yaml`))
        assert(pod !== undefined)
        assert.isEmpty(others)
        const asked: Array<string> = []
        for (const streamingLists of [true, false]) {
          const redis = pod.env["CACHE"] === "redis" ? Redacted.value((yield* RedisServer.started()).url) : ""
          const instance = yield* running(pod, yield* clusterFor(pod, streamingLists, "test"), { redis })
          yield* scrape(instance)
          yield* use(instance)
          yield* watchAgain(instance)
          asked.push(...(yield* askedOf(instance)))
        }
        permits(pod, asked)
      })
    )
  }

  for (const values of ["split", "split-kubernetes-authorization", "split-namespaces"]) {
    it.live(
      `${values}: grant watchers and servers exactly the permissions that they use, and servers no list or watch`,
      () =>
        Effect.gen(function* () {
          const [server, watcher] = yield* podsOf(yield* render("--values", `${chart}/ci/${values}-values.yaml`))
          assert(server !== undefined && watcher !== undefined)
          const asked: { server: Array<string>; watcher: Array<string> } = { server: [], watcher: [] }
          for (const streamingLists of [true, false]) {
            const redis = Redacted.value((yield* RedisServer.started()).url)
            const watched = yield* clusterFor(watcher, streamingLists, "watcher")
            const served = yield* clusterFor(server, streamingLists, "server")
            const url = yield* TokenRouter.make(
              new Map([
                ["watcher", watched.url],
                ["server", served.url]
              ])
            )
            const following = yield* running(watcher, watched, { redis, token: "watcher", url })
            const serving = yield* running(server, served, { redis, token: "server", url })
            for (const one of [following, serving]) yield* scrape(one)
            yield* use(serving)
            yield* watchAgain(following)
            asked.watcher.push(...(yield* askedOf(following)))
            asked.server.push(...(yield* askedOf(serving)))
          }
          permits(watcher, asked.watcher)
          permits(server, asked.server)
          assert.isEmpty(
            granted(server.rules).filter(
              (text) =>
                / (?:list|watch|get) /.test(text) &&
                text !== "everywhere get namespaces kube-system" &&
                !text.endsWith(" get deployments/scale.apps")
            )
          )
        })
    )
  }
})
