import { assert } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { readFileSync } from "node:fs"
import * as Client from "../../src/client/Client.ts"
import * as Testing from "../../src/client/testing/Testing.ts"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "../support/Eventually.ts"
import { file } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

const pem = (name: string) => readFileSync(file(name), "utf8")

const asAdmin = Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") })

const content = Object.fromEntries(
  Object.entries(demoSeed).map(([namespace, deployments]) => [
    namespace,
    Object.fromEntries(Object.entries(deployments).map(([name, count]) => [name, count ?? 1]))
  ])
)

const namespaces = ["default", "kube-system", "personal", "other"] as const
const deployments = ["nginx", "kafka", "fred"] as const
const namespaceTexts = [...namespaces, "ANY", "nowhere", "Personal", "%70ersonal", "%zz", "a".repeat(64), ""] as const
const deploymentTexts = [...deployments, "ANY", "absent", "a..b", "NGINX", "ngin%78"] as const
const counts = ["0", "1", "12", "13", "2147483647", "2147483648", "013", "-1", "x"] as const

const Path = Schema.Union([
  Schema.Literals(["/namespaces", "/namespaces/", "/elsewhere", "/livez", "/readyz"]),
  Schema.TemplateLiteral(["/namespaces/", Schema.Literals(namespaceTexts), "/deployments"]),
  Schema.TemplateLiteral([
    "/namespaces/",
    Schema.Literals(namespaceTexts),
    "/deployments/",
    Schema.Literals(deploymentTexts),
    "/replica_count"
  ])
])

const Read = Schema.Struct({
  _tag: Schema.Literal("Read"),
  path: Path,
  /** `current` stands for the tag of the last response of this path. */
  ifNoneMatch: Schema.Literals(["", "", "current", "current", "W/current", '"x", current', '"x"', "*", "12", '"12']),
  prefer: Schema.Literals(["", "", "wait=0", "wait=0, respond-async", "wait"])
})

const Write = Schema.Struct({
  _tag: Schema.Literal("Write"),
  namespace: Schema.Literals([...namespaces, ...namespaceTexts]),
  deployment: Schema.Literals([...deployments, ...deployments, ...deploymentTexts]),
  count: Schema.Literals(counts),
  ifMatch: Schema.Literals(["", "", "", '"0"', '"1"', '"12"', '"13"', "*", 'W/"12"', "12", '"12", "13"', '"012"']),
  query: Schema.Literals(["", "", "", "?dryRun=All", "?dryRun=No", "?dryRun=All&dryRun=All", "?force=true", "?"])
})

/** Reads and writes with valid names and conditions. */
const ValidRead = Schema.Struct({
  _tag: Schema.Literal("Read"),
  path: Schema.Union([
    Schema.TemplateLiteral(["/namespaces/", Schema.Literals(["ANY", ...namespaces]), "/deployments"]),
    Schema.TemplateLiteral([
      "/namespaces/",
      Schema.Literals(["ANY", ...namespaces]),
      "/deployments/",
      Schema.Literals(["ANY", ...deployments]),
      "/replica_count"
    ])
  ]),
  ifNoneMatch: Schema.Literals(["", "current"]),
  prefer: Schema.Literals(["", "wait=0"])
})
const ValidWrite = Schema.Struct({
  _tag: Schema.Literal("Write"),
  namespace: Schema.Literals(["personal", "kube-system"]),
  deployment: Schema.Literals(deployments),
  count: Schema.Literals(["0", "1", "12", "13"]),
  ifMatch: Schema.Literals(["", '"0"', '"1"', '"12"', '"13"', "*"]),
  query: Schema.Literals(["", "?dryRun=All"])
})

const Edit = Schema.Struct({
  _tag: Schema.Literal("Edit"),
  edit: Schema.Literals([
    "create namespace",
    "delete namespace",
    "put deployment",
    "put deployment",
    "delete deployment"
  ]),
  namespace: Schema.Literals(namespaces),
  deployment: Schema.Literals(deployments),
  count: Schema.Literals([0, 1, 12, 13])
})

type Step = typeof Read.Type | typeof Write.Type | typeof Edit.Type

const nginx = { namespace: "personal", deployment: "nginx" } as const
const wrong = { _tag: "Write", ...nginx, count: "13", ifMatch: '"1"', query: "" } as const

/** Steps that give each status, whatever is generated. */
const always: ReadonlyArray<Step> = [
  { _tag: "Edit", edit: "put deployment", ...nginx, count: 12 },
  wrong,
  { ...wrong, ifMatch: '"12"' },
  { ...wrong, ifMatch: '"12"' },
  { ...wrong, ifMatch: "12" },
  ...(["", "current", "*"] as const).map((ifNoneMatch): Step => ({
    _tag: "Read",
    path: "/namespaces",
    ifNoneMatch,
    prefer: "wait=0"
  }))
]

/** One of the two, with the tags of its responses by path. */
interface Side {
  readonly client: HttpClient.HttpClient
  readonly url: string
  readonly tags: Map<string, string>
  /** The tag of each body, by path. */
  readonly bodies: Map<string, string>
}

const side = (url: string) =>
  Effect.map(HttpClient.HttpClient, (client): Side => ({ client, url, tags: new Map(), bodies: new Map() }))

const problemOf = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Struct({ code: Schema.String, title: Schema.String, current: Schema.optionalKey(Schema.Number) })
  )
)

const isCount = (path: string): boolean => path.endsWith("/replica_count") && !path.includes("ANY")

/** The response without what differs between two responses, and between the tags of lists. */
const exchange = Effect.fnUntraced(function* (
  { client, tags, url }: Side,
  method: "GET" | "PUT",
  path: string,
  fields: Readonly<Record<string, string>>
) {
  const headers = Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== "")
      .map(([name, value]) => [name, value.replace("current", tags.get(path) ?? '"none"')])
  )
  const response = yield* client.execute(HttpClientRequest.make(method)(`${url}${path}`, { headers }))
  const text = yield* response.text
  const { etag } = response.headers
  if (etag !== undefined) tags.set(path, etag)
  const isProblem = response.headers["content-type"] === "application/problem+json"
  return {
    text,
    etag,
    comparable: {
      status: response.status,
      body: isProblem ? problemOf(text) : text,
      etag: etag === undefined || isCount(path) ? etag : "a tag",
      ...Object.fromEntries(
        ["age", "cache-control", "vary", "content-type", "preference-applied", "x-already-set"].map((name) => [
          name,
          response.headers[name]
        ])
      )
    }
  }
})

/** Equal bodies of a path have equal tags, and others others. */
const checkTag = ({ bodies }: Side, path: string, body: string, etag: string | undefined) => {
  if (etag === undefined || body === "") return
  const known = bodies.get(`${path} ${body}`)
  if (known !== undefined) assert.strictEqual(etag, known, path)
  else {
    const tags = [...bodies].filter(([key]) => key.startsWith(`${path} `)).map(([, tag]) => tag)
    assert.notInclude(tags, etag, path)
    bodies.set(`${path} ${body}`, etag)
  }
}

const edit = Effect.fnUntraced(function* ({ count, deployment, edit, namespace }: typeof Edit.Type) {
  const { cluster } = yield* EmbeddedKube
  const test = yield* Testing.TestCluster
  const exists = (yield* test.content)[namespace] !== undefined
  const hasDeployment = (yield* test.content)[namespace]?.[deployment] !== undefined
  switch (edit) {
    case "create namespace":
      yield* cluster.createNamespace(namespace)
      return yield* test.createNamespace(namespace)
    case "delete namespace":
      if (exists) yield* cluster.deleteNamespace(namespace)
      return yield* test.deleteNamespace(namespace)
    case "put deployment":
      yield* cluster.createNamespace(namespace)
      yield* cluster.putDeployment(namespace, deployment, count)
      return yield* test.setReplicaCount(namespace, deployment, count)
    case "delete deployment":
      if (hasDeployment) yield* cluster.deleteDeployment(namespace, deployment)
      return yield* test.deleteDeployment(namespace, deployment)
  }
})

withService()("the cluster in memory", (it) => {
  it.effect(
    "answers generated requests as the service does",
    () =>
      Effect.gen(function* () {
        const { port } = yield* TestService
        const real = yield* Effect.provide(side(`https://localhost:${port}`), asAdmin)
        const test = yield* side("https://service")
        const both = (method: "GET" | "PUT", path: string, fields: Readonly<Record<string, string>>) =>
          Effect.all([exchange(real, method, path, fields), exchange(test, method, path, fields)])
        const agree = both("GET", "/namespaces/ANY/deployments/ANY/replica_count", {})

        const steps = [
          ...always,
          ...(yield* Arbitrary.sampleEffect(
            Arbitrary.schema(Schema.Union([Read, ValidRead, Write, ValidWrite, Edit])),
            {
              count: 600
            }
          ))
        ]
        const statuses = new Map<number, number>()
        for (const step of steps) {
          if (step._tag === "Edit") {
            yield* edit(step)
            yield* eventually(agree, ([one, other]) => assert.deepStrictEqual(one.comparable, other.comparable))
            continue
          }
          const path =
            step._tag === "Read"
              ? step.path
              : `/namespaces/${step.namespace}/deployments/${step.deployment}/replica_count/${step.count}${step.query}`
          const fields =
            step._tag === "Read"
              ? { "if-none-match": step.ifNoneMatch, prefer: step.prefer }
              : { "if-match": step.ifMatch }
          const [one, other] = yield* both(step._tag === "Read" ? "GET" : "PUT", path, fields)
          assert.deepStrictEqual(
            other.comparable,
            one.comparable,
            `${JSON.stringify(step)}\n${one.text}\n${other.text}`
          )
          checkTag(real, path, one.text, one.etag)
          checkTag(test, path, other.text, other.etag)
          statuses.set(one.comparable.status, (statuses.get(one.comparable.status) ?? 0) + 1)
        }
        assert.includeMembers([...statuses.keys()], [200, 304, 400, 404, 410, 412])
      }).pipe(Effect.provide(Layer.fresh(Testing.layer(content)))),
    120_000
  )
})
