/** Manifests that Helm renders, and their validation against the schemas of Kubernetes and two operators. */
import { Effect, Predicate, Schema } from "effect"
import { execFile } from "node:child_process"
import { parseAllDocuments } from "yaml"

const root = new URL("../..", import.meta.url)

/** The chart's folder. */
export const chart = new URL("deploy/helm/kube-resource-api", root).pathname

/** A rendered object. */
export type Manifest = typeof Manifest.Type
const Manifest = Schema.StructWithRest(
  Schema.Struct({
    apiVersion: Schema.String,
    kind: Schema.String,
    metadata: Schema.Struct({
      name: Schema.String,
      namespace: Schema.optionalKey(Schema.String),
      labels: Schema.Record(Schema.String, Schema.String),
      annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
    })
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)
const decodeManifest = Schema.decodeUnknownEffect(Manifest)

/** Helm or kubectl failed with this output. */
export class ToolFailed extends Schema.TaggedError<ToolFailed>()("ToolFailed", { message: Schema.String }) {}

const tool = (name: string, words: ReadonlyArray<string>, input = ""): Effect.Effect<string, ToolFailed> =>
  Effect.callback((resume) => {
    const child = execFile(
      new URL(`.dev/tools/${name}`, root).pathname,
      words,
      { cwd: root, maxBuffer: 64 * 1024 * 1024, env: { PATH: "/usr/bin:/bin", HOME: "/nonexistent" } },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.fail(new ToolFailed({ message: `${stdout}${stderr}` })))
    )
    child.stdin?.end(input)
  })

/** Runs the pinned Helm; returns its standard output. */
export const helm = (...words: ReadonlyArray<string>) => tool("helm", words)

/** Runs the pinned kubectl without a cluster; `input` is its standard input. */
export const kubectl = (input: string, ...words: ReadonlyArray<string>) => tool("kubectl", words, input)

/** The chart rendered by `helm template` with these arguments. */
export const render = (...words: ReadonlyArray<string>) => template("release", chart, words)

/** A chart at another path, such as its package, rendered with these arguments. */
export const renderFrom = (place: string, ...words: ReadonlyArray<string>) => template("release", place, words)

/** The chart rendered as a release with this name. */
export const renderAs = (release: string, ...words: ReadonlyArray<string>) => template(release, chart, words)

const template = Effect.fnUntraced(function* (release: string, place: string, words: ReadonlyArray<string>) {
  const text = yield* helm("template", release, place, "--namespace", "served", ...words)
  const documents = parseAllDocuments(text).map((document) => document.toJS() as unknown)
  return yield* Effect.forEach(
    documents.filter((document) => document !== null),
    (document) => decodeManifest(document)
  )
})

/** The manifests of one kind. */
export const named = (manifests: ReadonlyArray<Manifest>, kind: string): ReadonlyArray<Manifest> =>
  manifests.filter((one) => one.kind === kind)

const packageOf = (apiVersion: string): string => {
  const [group = ""] = apiVersion.split("/")
  if (group.endsWith("cert-manager.io")) return "@kubernetes-models/cert-manager"
  return group === "monitoring.coreos.com" ? "@kubernetes-models/prometheus-operator" : "kubernetes-models"
}

/** A proxy of `value` that records the path of each field that is read. */
const noting = (value: object, path: string, read: Set<string>): object =>
  new Proxy(value, {
    get: (target, key, receiver) => {
      const field: unknown = Reflect.get(target, key, receiver)
      if (typeof key === "symbol") return field
      read.add(`${path}.${key}`)
      return Predicate.isObjectOrArray(field) ? noting(field, `${path}.${key}`, read) : field
    }
  })

const paths = (value: unknown, path: string): ReadonlyArray<string> =>
  Predicate.isObjectOrArray(value)
    ? Object.entries(value).flatMap(([key, field]) => [`${path}.${key}`].concat(paths(field, `${path}.${key}`)))
    : []

/**
 * The problems of a manifest by the schema of its kind: wrong types, missing fields and unknown fields. A field is unknown
 * if the generated validator does not read it.
 */
export const problems = (manifest: Manifest): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const models: Record<string, unknown> = await import(
      `${packageOf(manifest.apiVersion)}/${manifest.apiVersion}/${manifest.kind}`
    )
    const model = models[manifest.kind]
    if (!Predicate.hasProperty(model, "prototype") || !Predicate.hasProperty(model.prototype, "validate")) {
      return [`no schema of ${manifest.apiVersion} ${manifest.kind}`]
    }
    const { validate } = model.prototype
    if (!Predicate.isFunction(validate)) return [`no validator of ${manifest.kind}`]
    const read = new Set<string>()
    try {
      Reflect.apply(validate, noting(manifest, manifest.kind, read), [])
    } catch (error) {
      return [String(error)]
    }
    return paths(manifest, manifest.kind)
      .filter((path) => !read.has(path))
      .map((path) => `there is no field ${path}`)
  })
