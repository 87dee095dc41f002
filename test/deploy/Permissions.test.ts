import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { parseRoute } from "../../src/embedded/KubeRoute.ts"
import type { LoggedRequest } from "../../src/embedded/RequestLog.ts"
import type { RbacRule } from "../../src/embedded/Rbac.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { send } from "../integration/Https.ts"
import { kubeconfig } from "../integration/Kubeconfig.ts"
import { demoSettings, start } from "../integration/Process.ts"
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
    metadata: Schema.Struct({ name: Schema.String }),
    spec: Schema.Struct({
      template: Schema.Struct({
        spec: Schema.Struct({ ...PodSpec.fields, serviceAccountName: Schema.String })
      })
    })
  })
)

/** What the rendered roles permit an account, by the bindings that name it and nobody else. */
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

/** One permission as a line. */
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

/** What a request needed, told as narrowly as a role of this scope can. */
const needed = ({ method, path }: { readonly method: string; readonly path: string }, inNamespaces: boolean) => {
  const route = parseRoute(method, path)
  assert(typeof route !== "string", `${method} ${path}`)
  // An access review is of no namespace.
  const namespace = inNamespaces ? route.namespace : undefined
  return line({ ...route, namespace, name: route.target._tag === "Namespace" ? namespace : undefined })
}

const count = "/namespaces/personal/deployments/nginx/replica_count"

/**
 * Runs the service with the rendered pod's own settings, and asks it for everything it can do: gives what it asked of the
 * cluster by itself, while it was only scraped, and for its clients.
 */
const exercise = Effect.fnUntraced(function* (
  values: string,
  rules: ReadonlyArray<RbacRule>,
  env: Readonly<Record<string, string>>,
  streamingLists: boolean
) {
  return yield* Effect.gen(function* () {
    const kube = yield* EmbeddedKube
    const { POLICY_FILE: _, ...own } = demoSettings
    const instance = yield* start({
      ...env,
      ...own,
      KUBE_SOURCE: "kubeconfig",
      KUBECONFIG: kubeconfig(kube.url, { token: "test" })
    })
    const port = yield* instance.port
    yield* instance.printed('"Ready"')
    assert.strictEqual((yield* send(port, { client: "admin", path: "/metrics" })).status, 200)
    yield* kube.faults.dropWatches()
    yield* kube.awaitWatches(1)
    const byItself = yield* kube.requests
    yield* kube.clearRequests
    for (const path of [
      "/namespaces",
      "/namespaces/ANY/deployments",
      "/namespaces/ANY/deployments/ANY/replica_count",
      count
    ]) {
      assert.strictEqual((yield* send(port, { client: "admin", path })).status, 200, `${values}: ${path}`)
    }
    const write = yield* send(port, { client: "admin", path: `${count}/5`, method: "PUT" })
    assert.strictEqual(write.status, 200, `${values}: ${write.body}`)
    if (env["AUDIT_EVENTS"] === "true") {
      const recorded: Effect.Effect<void> = Effect.flatMap(kube.events, (events) =>
        events.length > 0 ? Effect.void : Effect.andThen(Effect.sleep(20), recorded)
      )
      yield* recorded
    }
    const forClients = yield* kube.requests
    assert.deepStrictEqual(
      [...byItself, ...forClients].filter(({ status }) => status === 403),
      []
    )
    return { byItself, forClients }
  }).pipe(
    Effect.provide(
      EmbeddedKube.layer({
        seed: demoSeed,
        tokens: ["test"],
        rules,
        streamingLists,
        decideAccess: () => ({ allowed: true })
      })
    )
  )
})

const policy = () => {
  const path = join(mkdtempSync(join(tmpdir(), "kube-resource-api-policy-")), "policy.yaml")
  writeFileSync(
    path,
    'rules:\n  - subjects: {users: [admin]}\n    verbs: [list, get, set]\n    namespaces: ["*"]\n    deployments: ["*"]\n    metrics: true\n'
  )
  return path
}

/** The rendered Deployments by their names: what their pods' account may do, and their settings. */
const deploymentsOf = Effect.fnUntraced(function* (manifests: ReadonlyArray<Manifest>) {
  return yield* Effect.forEach(named(manifests, "Deployment"), (manifest) =>
    Effect.gen(function* () {
      const { metadata, spec } = yield* decodeDeployment(manifest)
      const { containers, serviceAccountName } = spec.template.spec
      const env: Record<string, string> = {}
      for (const { name, value = "" } of containers.flatMap((one) => one.env ?? [])) env[name] = value
      if (env["POLICY_FILE"] !== undefined) env["POLICY_FILE"] = policy()
      delete env["METRICS_PORT"]
      return { name: metadata.name, rules: yield* rulesOf(manifests, serviceAccountName), env }
    })
  )
})

// Each namespace has the same Role; the write goes to one of them.
const same = (lines: Iterable<string>) =>
  [...new Set([...lines].map((text) => text.replaceAll("kube-system", "personal")))].sort()

const isFollowing = ({ method, path }: { readonly method: string; readonly path: string }) => {
  const route = parseRoute(method, path)
  return typeof route !== "string" && ["list", "watch", "get"].includes(route.verb)
}

const askedOf = Effect.fnUntraced(function* (
  values: string,
  rules: ReadonlyArray<RbacRule>,
  env: Readonly<Record<string, string>>
) {
  const streamed = yield* exercise(values, rules, env, true)
  const paged = yield* exercise(values, rules, env, false)
  return {
    byItself: [...streamed.byItself, ...paged.byItself],
    forClients: [...streamed.forClients, ...paged.forClients]
  }
})

describe("the roles of the chart", () => {
  for (const values of ["minimal", "kubernetes-authorization", "namespaces", "namespaces-kubernetes"]) {
    it.live(`${values}: permit what the service asks of the cluster, all of it, and nothing else`, () =>
      Effect.gen(function* () {
        const [pod, ...others] = yield* deploymentsOf(yield* render("--values", `${chart}/ci/${values}-values.yaml`))
        assert(pod !== undefined)
        assert.isEmpty(others)
        const { byItself, forClients } = yield* askedOf(values, pod.rules, pod.env)
        const grantedLines = new Set(granted(pod.rules))
        const neededLines = new Set(
          [...byItself, ...forClients].map((request) => needed(request, values.startsWith("namespaces")))
        )
        assert.deepStrictEqual(same(grantedLines), same(neededLines))
        for (const text of neededLines) assert.isTrue(grantedLines.has(text), text)
      })
    )
  }

  for (const values of ["split", "split-kubernetes-authorization", "split-namespaces"]) {
    it.live(`${values}: permit watchers what one that has no clients asks, and servers all else`, () =>
      Effect.gen(function* () {
        const [server, watcher] = yield* deploymentsOf(yield* render("--values", `${chart}/ci/${values}-values.yaml`))
        assert(server !== undefined && watcher !== undefined)
        const both = [...server.rules, ...watcher.rules]
        const alone = Object.entries(server.env).filter(([name]) => !/^(?:REDIS_|CACHE$|ROLE$|WATCHER_)/.test(name))
        const { byItself, forClients } = yield* askedOf(values, both, Object.fromEntries(alone))
        const lines = (requests: ReadonlyArray<LoggedRequest>) =>
          same(requests.map((request) => needed(request, values.includes("namespaces"))))
        assert.deepStrictEqual(same(granted(watcher.rules)), lines(byItself))
        assert.deepStrictEqual(
          same(granted(server.rules)),
          lines([...byItself, ...forClients].filter((request) => !isFollowing(request)))
        )
        assert.isEmpty(granted(server.rules).filter((text) => / (?:list|watch|get) /.test(text)))
      })
    )
  }
})
