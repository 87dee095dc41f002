import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, type Scope } from "effect"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import * as KubeConfig from "../../src/kube/KubeConfig.ts"

/** A temporary directory with these files. */
const directory = (files: Readonly<Record<string, string>>): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const root = mkdtempSync(join(tmpdir(), "kube-config-"))
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(root, name)), { recursive: true })
        writeFileSync(join(root, name), text)
      }
      return root
    }),
    (root) => Effect.sync(() => rmSync(root, { recursive: true }))
  )

const kubeconfig = (name: string, user: string, current: string = name) => `
apiVersion: v1
kind: Config
current-context: ${current}
clusters: [{ name: ${name}, cluster: { server: "https://${name}.example:6443/", tls-server-name: api.internal } }]
contexts: [{ name: ${name}, context: { cluster: ${name}, user: ${name} } }]
users: [{ name: ${name}, user: ${user} }]
`

const serverOf = (options: KubeConfig.KubeConfigOptions) =>
  Effect.provide(
    Effect.map(KubeConfig.KubeConfig, ({ server }) => server),
    KubeConfig.layer(options)
  )

const credentials = (options: KubeConfig.KubeConfigOptions): Effect.Effect<KubeConfig.RequestCredentials, unknown> =>
  Effect.provide(
    Effect.flatMap(KubeConfig.KubeConfig, ({ authorize }) => authorize),
    KubeConfig.layer(options)
  )

const refusal = (options: KubeConfig.KubeConfigOptions) => Effect.flip(serverOf(options))

describe("kubeconfig", () => {
  it.effect("uses the server, the TLS name and the token of the current context", () =>
    Effect.gen(function* () {
      const root = yield* directory({ config: kubeconfig("one", "{ token: s3cret }") })
      const options = { source: "kubeconfig", kubeconfigPath: join(root, "config") } as const
      assert.strictEqual(yield* serverOf(options), "https://one.example:6443")
      const { headers, tls } = yield* credentials(options)
      assert.deepStrictEqual(headers, { Authorization: "Bearer s3cret" })
      assert.strictEqual(tls.servername, "api.internal")
    })
  )

  it.effect("sends a user and password as Basic", () =>
    Effect.gen(function* () {
      const root = yield* directory({ config: kubeconfig("one", "{ username: jane, password: pass }") })
      const { headers } = yield* credentials({ source: "kubeconfig", kubeconfigPath: join(root, "config") })
      assert.deepStrictEqual(headers, { Authorization: `Basic ${Buffer.from("jane:pass").toString("base64")}` })
    })
  )

  it.live("uses the token and the client certificate of an exec plugin", () =>
    Effect.gen(function* () {
      const plugin = `#!/bin/sh
echo '{"kind":"ExecCredential","status":{"token":"fresh","clientCertificateData":"CERT","clientKeyData":"KEY"}}'
`
      const root = yield* directory({ plugin, config: "" })
      chmodSync(join(root, "plugin"), 0o755)
      writeFileSync(join(root, "config"), kubeconfig("one", `{ exec: { command: "${join(root, "plugin")}" } }`))
      const { headers, tls } = yield* credentials({ source: "kubeconfig", kubeconfigPath: join(root, "config") })
      assert.deepStrictEqual(headers, { Authorization: "Bearer fresh" })
      assert.strictEqual(tls.cert, "CERT")
      assert.strictEqual(tls.key, "KEY")
    })
  )

  it.live("hides the output of an exec plugin", () =>
    Effect.gen(function* () {
      const root = yield* directory({ plugin: "#!/bin/sh\necho s3cret-token\n", config: "" })
      chmodSync(join(root, "plugin"), 0o755)
      writeFileSync(join(root, "config"), kubeconfig("one", `{ exec: { command: "${join(root, "plugin")}" } }`))
      const error = yield* Effect.flip(credentials({ source: "kubeconfig", kubeconfigPath: join(root, "config") }))
      assert.match(String(error), /exec plugin/)
      assert.notInclude(String(error), "s3cret")
    })
  )

  it.effect("merges several files as kubectl does: the first definition wins", () =>
    Effect.gen(function* () {
      const root = yield* directory({ a: kubeconfig("one", "{}"), b: kubeconfig("two", "{}") })
      const kubeconfigPath = [join(root, "a"), join(root, "absent"), join(root, "b")].join(delimiter)
      assert.strictEqual(yield* serverOf({ source: "kubeconfig", kubeconfigPath }), "https://one.example:6443")
      assert.strictEqual(
        yield* serverOf({ source: "kubeconfig", kubeconfigPath, context: "two" }),
        "https://two.example:6443"
      )
    })
  )

  it.effect("names setting, value and fix if the file is missing", () =>
    Effect.gen(function* () {
      const error = yield* refusal({ source: "kubeconfig", kubeconfigPath: "/nowhere/config" })
      assert.strictEqual(error.setting, "KUBECONFIG")
      assert.strictEqual(error.value, "/nowhere/config")
      assert.match(error.message, /^KUBECONFIG=\/nowhere\/config: there is no such file.*\. Point it at a kubeconfig/)
    })
  )

  it.effect("lists the existing contexts if the given one does not exist", () =>
    Effect.gen(function* () {
      const root = yield* directory({ config: kubeconfig("one", "{}") })
      const error = yield* refusal({ source: "kubeconfig", kubeconfigPath: join(root, "config"), context: "other" })
      assert.strictEqual(error.setting, "KUBE_CONTEXT")
      assert.strictEqual(error.value, "other")
      assert.match(error.fix, /one of: one$/)
    })
  )

  it.effect("rejects a current context that does not exist", () =>
    Effect.gen(function* () {
      const root = yield* directory({ config: kubeconfig("one", "{}", "gone") })
      const error = yield* refusal({ source: "kubeconfig", kubeconfigPath: join(root, "config") })
      assert.match(error.message, /"gone"/)
    })
  )

  it.effect.each(["users: [{ token: s3cret\n  x", "just text", "", "clusters: [{ name: s3cret }]"])(
    "rejects %j without quoting it",
    (text) =>
      Effect.gen(function* () {
        const root = yield* directory({ config: text })
        const error = yield* refusal({ source: "kubeconfig", kubeconfigPath: join(root, "config") })
        assert.strictEqual(error.setting, "KUBECONFIG")
        assert.notInclude(error.message, "s3cret")
      })
  )
})

describe("in a cluster", () => {
  const account = "var/run/secrets/kubernetes.io/serviceaccount"

  it.effect("reports a missing service account", () =>
    Effect.gen(function* () {
      const root = yield* directory({})
      const error = yield* refusal({ source: "in-cluster", serviceAccountRoot: root })
      assert.strictEqual(error.value, "in-cluster")
      assert.match(error.fix, /Run in a pod/)
    })
  )

  it.effect("auto uses the kubeconfig without a service account", () =>
    Effect.gen(function* () {
      const root = yield* directory({ config: kubeconfig("one", "{}") })
      const server = yield* serverOf({
        source: "auto",
        serviceAccountRoot: root,
        kubeconfigPath: join(root, "config")
      })
      assert.strictEqual(server, "https://one.example:6443")
    })
  )

  it.effect("auto uses the service account if it exists, and reports what else is missing", () =>
    Effect.gen(function* () {
      const root = yield* directory({ [`${account}/token`]: "t", [`${account}/ca.crt`]: "c" })
      const error = yield* refusal({ source: "auto", serviceAccountRoot: root, kubeconfigPath: "/nowhere" })
      assert.strictEqual(error.setting, "KUBERNETES_SERVICE_HOST")
    })
  )
})

const endpoint = (options: Parameters<typeof KubeConfig.layerEndpoint>[0]) =>
  Effect.provide(
    Effect.flatMap(KubeConfig.KubeConfig, ({ authorize }) => authorize),
    KubeConfig.layerEndpoint(options)
  )

describe("endpoint", () => {
  it.effect("uses its PEM texts unchanged", () =>
    Effect.gen(function* () {
      const { headers, tls } = yield* endpoint({ url: "https://x:1", token: "t\n", ca: "CA", cert: "CERT", key: "KEY" })
      assert.deepStrictEqual(headers, { Authorization: "Bearer t" })
      assert.deepStrictEqual([tls.ca, tls.cert, tls.key].map(String), ["CA", "CERT", "KEY"])
    })
  )

  it.effect("accepts plain HTTP without credentials", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* endpoint({ url: "http://127.0.0.1:1" })).headers, {})
    })
  )

  it.effect("rejects an invalid URL", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(endpoint({ url: "not a url" }))
      assert.strictEqual(error.setting, "server")
    })
  )
})

describe("the CA of the API server", () => {
  const authority = (options: KubeConfig.KubeConfigOptions) =>
    Effect.flatMap(KubeConfig.KubeConfig, (config) => config.authority).pipe(
      Effect.provide(KubeConfig.layer(options)),
      Effect.result
    )
  const config = (cluster: object) =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "one",
      clusters: [{ name: "one", cluster: { server: "https://one.example", ...cluster } }],
      contexts: [{ name: "one", context: { cluster: "one", user: "one" } }],
      users: [{ name: "one", user: {} }]
    })

  it.effect("is in a file or in the configuration, or there is none", () =>
    Effect.gen(function* () {
      const root = yield* directory({
        "ca.crt": "a CA",
        file: config({ "certificate-authority": "ca.crt" }),
        data: config({ "certificate-authority-data": Buffer.from("a CA").toString("base64") }),
        none: config({}),
        gone: config({ "certificate-authority": "gone.crt" })
      })
      const of = (name: string) => authority({ source: "kubeconfig", kubeconfigPath: join(root, name) })
      assert.deepStrictEqual(yield* of("file"), Result.succeed("a CA"))
      assert.deepStrictEqual(yield* of("data"), Result.succeed("a CA"))
      assert.deepStrictEqual(yield* of("none"), Result.succeed(undefined))
      const gone = yield* of("gone")
      assert.isTrue(Result.isFailure(gone) && gone.failure.message.startsWith("certificate-authority="))
    })
  )
})
