import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { execFileSync } from "node:child_process"
import {
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { send } from "../support/Https.ts"
import { kubeconfig } from "../support/Kubeconfig.ts"
import { file, serverPem } from "../support/Pki.ts"
import { conformanceSuite, type Instance, startCommand } from "../support/Process.ts"

const root = new URL("../..", import.meta.url).pathname
const work = mkdtempSync(join(tmpdir(), "kube-resource-api-image-"))
const buildah = ["buildah", "--storage-driver", "vfs", "--root", join(work, "store"), "--runroot", join(work, "run")]
const largestAddition = 60 * 1024 * 1024

const run = (command: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) => {
  const [program = "", ...words] = command
  return execFileSync(program, words, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
    // The environment of this machine: npm inside the build may need its proxy and certificate settings.
    env: { ...process.env, ...env }
  })
}

const Image = Schema.fromJsonString(
  Schema.Struct({
    OCIv1: Schema.Struct({
      created: Schema.String,
      config: Schema.StructWithRest(
        Schema.Struct({
          User: Schema.String,
          Entrypoint: Schema.Array(Schema.String),
          Cmd: Schema.Array(Schema.String),
          Labels: Schema.Record(Schema.String, Schema.String)
        }),
        [Schema.Record(Schema.String, Schema.Json)]
      ),
      rootfs: Schema.Struct({ diff_ids: Schema.Array(Schema.String) })
    }),
    Manifest: Schema.fromJsonString(
      Schema.Struct({ layers: Schema.Array(Schema.Struct({ digest: Schema.String, size: Schema.Number })) })
    )
  })
)

/** Builds the image like `make docker`, from the sources in `context` and base images made of programs of this machine. */
const build = (name: string, context: string) => {
  const npmrc = join(work, "npmrc")
  writeFileSync(npmrc, `registry=${run(["npm", "config", "get", "registry"])}`)
  run(["scripts/image.sh", "build", name], {
    CONTAINER_TOOL: buildah.join(" "),
    BUILD_IMAGE: "localhost/build",
    RUNTIME_IMAGE: "localhost/runtime",
    CONTEXT: context,
    NPMRC: npmrc,
    SOURCE_DATE_EPOCH: "1700000000",
    VERSION: "1.2.3",
    REVISION: "0123456789abcdef"
  })
  return Schema.decodeUnknownSync(Image)(run([...buildah, "inspect", "--type", "image", name]))
}

/** A copy of the sources at another path and with other modification times, like another clone. */
const otherClone = () => {
  const clone = join(work, "elsewhere")
  mkdirSync(join(clone, "scripts"), { recursive: true })
  for (const name of [
    "package.json",
    "package-lock.json",
    ".npmrc",
    ".dockerignore",
    "Dockerfile",
    "scripts/bundle.ts",
    "src"
  ]) {
    cpSync(join(root, name), join(clone, name), { recursive: true })
  }
  for (const name of readdirSync(clone, { recursive: true, encoding: "utf8" })) {
    utimesSync(join(clone, name), 1_000_000_000, 1_000_000_000)
  }
  return clone
}

/** Runs a program of the image like a container in a pod: a read-only root, user 65532 and mounted files. */
const startImage = (
  files: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>>,
  program: string,
  user = 65532
) => {
  const container = run([...buildah, "from", "localhost/image:first"]).trim()
  const folder = run([...buildah, "mount", container]).trim()
  const mounts = Object.entries(files).map(([path, source]) => {
    mkdirSync(join(folder, path), { recursive: true })
    return `mount --bind '${source}' '${join(folder, path)}'`
  })
  const script = [
    "set -e",
    `mount --bind '${folder}' '${folder}'`,
    ...mounts,
    `mount -o remount,bind,ro '${folder}'`,
    `exec chroot --userspec=${user}:${user} '${folder}' /nodejs/bin/node ${program}`
  ].join("\n")
  return startCommand("unshare", ["--mount", "--propagation", "private", "bash", "-c", script], {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    ...env
  })
}

/** A folder with these files, readable by the user of the pod. */
const folderOf = (files: Readonly<Record<string, string | Buffer>>) => {
  const folder = mkdtempSync(join(work, "mount-"))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content, { mode: 0o644 })
  execFileSync("chmod", ["0755", folder])
  return folder
}

type Image = typeof Image.Type

/** The image, built twice. The end of the scope removes all files of the builds and containers. */
class Images extends Context.Service<Images, { readonly first: Image; readonly second: Image }>()("test/Images") {
  static readonly layer = Layer.effect(
    Images,
    Effect.acquireRelease(
      Effect.sync(() => {
        run(["scripts/local-bases.sh", ...buildah])
        return { first: build("localhost/image:first", root), second: build("localhost/image:second", otherClone()) }
      }),
      () => Effect.sync(() => rmSync(work, { recursive: true, force: true }))
    )
  )
}

const cluster = Layer.unwrap(
  Effect.sync(() =>
    EmbeddedKube.layer({
      seed: demoSeed,
      tokens: ["pod", "suite"],
      tls: serverPem()
    })
  )
)

const pod = Effect.fnUntraced(function* (env: Readonly<Record<string, string>> = {}) {
  const kube = yield* EmbeddedKube
  const { hostname, port } = new URL(kube.url)
  const instance: Instance = yield* startImage(
    {
      "/var/run/secrets/kubernetes.io/serviceaccount": folderOf({
        token: "pod",
        namespace: "served",
        "ca.crt": readFileSync(file("ca.crt"))
      }),
      "/etc/kube-resource-api": folderOf({
        "tls.crt": readFileSync(file("server.crt")),
        "tls.key": readFileSync(file("server.key")),
        "ca.crt": readFileSync(file("ca.crt")),
        "policy.yaml":
          'rules:\n  - subjects: {users: [admin]}\n    verbs: [list, get, set]\n    namespaces: ["*"]\n    deployments: ["*"]\n'
      })
    },
    {
      HOME: "/home/nonroot",
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      KUBE_SOURCE: "in-cluster",
      HOST: "127.0.0.1",
      PORT: "0",
      DRAIN_PERIOD: "0s",
      HEADERS_TIMEOUT: "1s",
      POLICY_FILE: "/etc/kube-resource-api/policy.yaml",
      TLS_CERT_FILE: "/etc/kube-resource-api/tls.crt",
      TLS_KEY_FILE: "/etc/kube-resource-api/tls.key",
      TLS_CLIENT_CA_FILE: "/etc/kube-resource-api/ca.crt",
      ...env
    },
    "/app/main.js"
  )
  return instance
})

layer(Images.layer, { excludeTestServices: true })("the image", (it) => {
  it.effect("has the same layers and digest from every clone of the same sources", () =>
    Effect.gen(function* () {
      const { first, second } = yield* Images
      assert.deepStrictEqual(first.OCIv1.rootfs, second.OCIv1.rootfs)
      assert.deepStrictEqual(first, second)
    })
  )

  it.effect("adds one layer of less than 60 MB to its base", () =>
    Effect.gen(function* () {
      const [base, added, ...others] = (yield* Images).first.Manifest.layers
      assert.isAbove(base?.size ?? 0, 0)
      assert.isBelow(added?.size ?? Infinity, largestAddition)
      assert.isEmpty(others)
    })
  )

  it.effect("runs as user 65532, has labels with version and revision, and has no health check of its own", () =>
    Effect.gen(function* () {
      const { config, created } = (yield* Images).first.OCIv1
      assert.strictEqual(config.User, "65532:65532")
      assert.deepStrictEqual([...config.Entrypoint, ...config.Cmd], ["/nodejs/bin/node", "/app/main.js"])
      assert.notProperty(config, "Healthcheck")
      assert.strictEqual(created, "2023-11-14T22:13:20Z")
      assert.strictEqual(config.Labels["org.opencontainers.image.created"], "2023-11-14T22:13:20Z")
      assert.strictEqual(config.Labels["org.opencontainers.image.version"], "1.2.3")
      assert.strictEqual(config.Labels["org.opencontainers.image.revision"], "0123456789abcdef")
      assert.include(Object.keys(config.Labels), "org.opencontainers.image.source")
      assert.strictEqual(config.Labels["org.opencontainers.image.licenses"], "MIT")
    })
  )

  it.effect("contains only the bundle and its licenses, writable by root alone", () =>
    Effect.gen(function* () {
      yield* Images
      const container = run([...buildah, "from", "localhost/image:first"]).trim()
      const app = join(run([...buildah, "mount", container]).trim(), "app")
      const names = readdirSync(app)
      assert.includeMembers(names, ["main.js", "licenses.txt"])
      for (const name of names) {
        assert.match(name, /^(?:[a-zA-Z-]+(?:-[\w-]+)?\.js|licenses\.txt|package\.json)$/)
        const { gid, mode, uid } = statSync(join(app, name))
        assert.deepStrictEqual([uid, gid, mode & 0o022], [0, 0, 0])
      }
    })
  )

  it.effect("passes the conformance suite in a pod with a service account and a read-only root", () =>
    Effect.gen(function* () {
      yield* Images
      const kube = yield* EmbeddedKube
      const instance = yield* pod()
      const port = yield* instance.port
      yield* instance.printed("Ready")
      const suite = yield* conformanceSuite(port, {
        KUBECONFIG: kubeconfig(kube.url, { token: "suite" }, { "certificate-authority": file("ca.crt") })
      })
      assert.strictEqual(yield* suite.exited, 0, suite.output())
      const probe = yield* startImage(
        {
          "/etc/kube-resource-api/probe": folderOf({
            "tls.crt": readFileSync(file("admin.crt")),
            "tls.key": readFileSync(file("admin.key")),
            "ca.crt": readFileSync(file("ca.crt"))
          })
        },
        {
          PROBE_URL: `https://127.0.0.1:${port}`,
          PROBE_CA_FILE: "/etc/kube-resource-api/probe/ca.crt",
          PROBE_CERT_FILE: "/etc/kube-resource-api/probe/tls.crt",
          PROBE_KEY_FILE: "/etc/kube-resource-api/probe/tls.key",
          PROBE_CANARY: "kube-system/fred"
        },
        "/app/probe.js"
      )
      assert.strictEqual(yield* probe.exited, 0, probe.output())
      assert.strictEqual((yield* send(port, { client: "none", path: "/readyz" })).status, 200)
      instance.child.kill("SIGTERM")
      assert.strictEqual(yield* instance.exited, 0, instance.output())
    }).pipe(Effect.provide(cluster))
  )

  it.effect("serves a seed file without a cluster, as any user, as docs/testing.md describes", () =>
    Effect.gen(function* () {
      yield* Images
      const user = 1001
      const certs = mkdtempSync(join(work, "certs-"))
      run(["scripts/pki.sh", certs])
      chownSync(certs, user, user)
      for (const name of ["server.crt", "server.key", "ca.crt"]) chownSync(join(certs, name), user, user)
      const instance = yield* startImage(
        { "/certs": certs, "/seed": folderOf({ "seed.yaml": "namespaces:\n  personal: { nginx: 12, kafka: 3 }\n" }) },
        {
          KUBE_SOURCE: "embedded",
          EMBEDDED_SEED: "/seed/seed.yaml",
          TLS_CERT_FILE: "/certs/server.crt",
          TLS_KEY_FILE: "/certs/server.key",
          TLS_CLIENT_CA_FILE: "/certs/ca.crt",
          HOST: "127.0.0.1",
          PORT: "0"
        },
        "/app/main.js",
        user
      )
      const port = yield* instance.port
      yield* instance.printed("Ready")
      const pem = (name: string) => readFileSync(join(certs, name), "utf8")
      const client = (name: string) => ({ ca: pem("ca.crt"), cert: pem(`${name}.crt`), key: pem(`${name}.key`) })
      const path = "/namespaces/personal/deployments/ANY/replica_count"
      const read = yield* send(port, { client: client("viewer"), path })
      assert.strictEqual(
        read.body,
        '{"namespace":"personal","deployments":[{"deployment":"kafka","replica_count":3},{"deployment":"nginx","replica_count":12}]}'
      )
      const statuses = yield* Effect.forEach(["admin", "viewer", "nobody", "stranger"], (name) =>
        send(port, {
          client: client(name),
          method: "PUT",
          path: "/namespaces/personal/deployments/nginx/replica_count/3"
        })
      )
      assert.deepStrictEqual(
        statuses.map(({ status }) => status),
        [200, 401, 401, 403]
      )
    })
  )
})
