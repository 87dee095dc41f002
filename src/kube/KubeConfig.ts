/**
 * The address of the cluster, and this service's credentials for it. `@kubernetes/client-node` interprets the
 * kubeconfig: contexts, rotated token files, exec plugins and the rest.
 */
import * as ClientNode from "@kubernetes/client-node"
import { Context, Data, Effect, Layer } from "effect"
import { accessSync, constants } from "node:fs"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import type { RequestOptions } from "node:https"

/** The configuration names no usable cluster: the setting, its value, the problem, and how to fix it. */
export class KubeConfigError extends Data.TaggedError("KubeConfigError")<{
  readonly setting: string
  readonly value: string
  readonly problem: string
  readonly fix: string
}> {
  override get message(): string {
    return `${this.setting}=${this.value}: ${this.problem}. ${this.fix}.`
  }
}

/** The TLS options of a connection to the cluster. */
export interface ClusterTls extends Pick<RequestOptions, "ca" | "cert" | "key" | "servername"> {
  readonly rejectUnauthorized: boolean
}

/** The credentials of a request to the cluster. They are secret: never log them. */
export interface RequestCredentials {
  readonly headers: Readonly<Record<string, string>>
  readonly tls: ClusterTls
}

/** The source of the configuration. */
export interface KubeConfigOptions {
  /** `auto`: the pod's service account if there is one, otherwise a kubeconfig. */
  readonly source: "auto" | "in-cluster" | "kubeconfig"
  /** One file, or several as in `KUBECONFIG`. Default: `~/.kube/config`. */
  readonly kubeconfigPath?: string | undefined
  /** Overrides the current context of the kubeconfig. */
  readonly context?: string | undefined
  /** Prefix of `/var/run/secrets/kubernetes.io/serviceaccount`, for tests. */
  readonly serviceAccountRoot?: string | undefined
}

/** A cluster without a configuration file: the embedded one, or one of a test. Certificates and keys are PEM texts. */
export interface KubeEndpoint {
  readonly url: string
  readonly token?: string | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

const readable = (path: string): Effect.Effect<boolean> =>
  Effect.sync(() => accessSync(path, constants.R_OK)).pipe(
    Effect.as(true),
    Effect.catchDefect(() => Effect.succeed(false))
  )

const loadInCluster = Effect.fnUntraced(function* (root: string) {
  const token = `${root}${serviceAccountToken}`
  if (!(yield* readable(token))) {
    return yield* new KubeConfigError({
      setting: "KUBE_SOURCE",
      value: "in-cluster",
      problem: `there is no readable service account token at ${token}`,
      fix: "Run in a pod with automountServiceAccountToken, or use a kubeconfig"
    })
  }
  const config = new ClientNode.KubeConfig()
  config.loadFromCluster(root)
  const server = config.getCurrentCluster()?.server ?? ""
  // client-node writes an absent variable into the URL as "undefined".
  if (server.includes("undefined")) {
    return yield* new KubeConfigError({
      setting: "KUBERNETES_SERVICE_HOST",
      value: "",
      problem: "the pod's environment does not name the API server",
      fix: "Run in a pod (kubelet sets KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT), or use a kubeconfig"
    })
  }
  return config
})

const loadFile = Effect.fnUntraced(function* (path: string) {
  if (!(yield* readable(path))) {
    return yield* new KubeConfigError({
      setting: "KUBECONFIG",
      value: path,
      problem: "there is no such file, or it cannot be read",
      fix: "Point it at a kubeconfig, or run in a pod"
    })
  }
  const config = new ClientNode.KubeConfig()
  // The parser's message quotes the file, which has secrets. Only its first line, which names the fault, is kept.
  yield* Effect.try({
    try: () => config.loadFromFile(path),
    catch: (cause) =>
      new KubeConfigError({
        setting: "KUBECONFIG",
        value: path,
        problem: `it is not a kubeconfig (${cause instanceof Error && cause.name !== "YAMLException" ? firstLine(cause.message) : "not YAML"})`,
        fix: "Check it with `kubectl config view`"
      })
  })
  return config
})

const missing = <A extends { readonly name: string }>(have: ReadonlyArray<A>, more: ReadonlyArray<A>) =>
  more.filter((one) => !have.some((other) => other.name === one.name))

// As in kubectl, the first of several files to define a cluster, user, context or current context wins.
const merge = (into: ClientNode.KubeConfig, from: ClientNode.KubeConfig): void => {
  missing(into.clusters, from.clusters).forEach((cluster) => into.addCluster(cluster))
  missing(into.users, from.users).forEach((user) => into.addUser(user))
  missing(into.contexts, from.contexts).forEach((context) => into.addContext(context))
  if (!into.currentContext && from.currentContext) {
    into.setCurrentContext(from.currentContext)
  }
}

const loadKubeconfig = Effect.fnUntraced(function* (options: KubeConfigOptions) {
  const value = options.kubeconfigPath ?? join(homedir(), ".kube", "config")
  const listed = value.split(delimiter).filter((path) => path !== "")
  const paths = listed.length > 1 ? yield* Effect.filter(listed, readable) : listed
  if (paths.length === 0) {
    return yield* new KubeConfigError({
      setting: "KUBECONFIG",
      value,
      problem: "none of these files can be read",
      fix: "Point it at a kubeconfig, or run in a pod"
    })
  }
  const config = new ClientNode.KubeConfig()
  for (const path of paths) {
    merge(config, yield* loadFile(path))
  }
  if (options.context !== undefined) {
    if (!config.getContexts().some((context) => context.name === options.context)) {
      return yield* new KubeConfigError({
        setting: "KUBE_CONTEXT",
        value: options.context,
        problem: `${value} has no such context`,
        fix: `Use one of: ${config
          .getContexts()
          .map((context) => context.name)
          .join(", ")}`
      })
    }
    config.setCurrentContext(options.context)
  }
  if (config.getCurrentCluster() === null) {
    return yield* new KubeConfigError({
      setting: "KUBECONFIG",
      value,
      problem: config.currentContext
        ? `its context "${config.currentContext}" names no cluster that it has`
        : "it has no current context",
      fix: "Choose a context with KUBE_CONTEXT or `kubectl config use-context`"
    })
  }
  return config
})

const load = Effect.fnUntraced(function* (options: KubeConfigOptions) {
  const root = options.serviceAccountRoot ?? ""
  switch (options.source) {
    case "in-cluster":
      return yield* loadInCluster(root)
    case "kubeconfig":
      return yield* loadKubeconfig(options)
    case "auto":
      return (yield* readable(`${root}${serviceAccountToken}`))
        ? yield* loadInCluster(root)
        : yield* loadKubeconfig(options)
  }
})

const firstLine = (text: string): string => (text.split("\n", 1)[0] ?? "").slice(0, 200)

// The output of an exec plugin is a credential, and JSON.parse quotes its input in errors.
const describe = (cause: unknown): string =>
  cause instanceof SyntaxError
    ? "the exec plugin did not print an ExecCredential"
    : cause instanceof Error
      ? firstLine(cause.message)
      : "unknown error"

const base64 = (pem: string) => Buffer.from(pem).toString("base64")

const make = Effect.fnUntraced(function* (config: ClientNode.KubeConfig) {
  const cluster = config.getCurrentCluster()
  const server = cluster?.server ?? ""
  if (cluster === null || !URL.canParse(server)) {
    return yield* new KubeConfigError({
      setting: "server",
      value: server,
      problem: "not the URL of an API server",
      fix: "Correct the cluster's server in the kubeconfig"
    })
  }
  if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== null) {
    return yield* new KubeConfigError({
      setting: "proxy-url",
      value: URL.canParse(cluster.proxyUrl) ? new URL(cluster.proxyUrl).host : "",
      problem: "a proxy to the API server is not supported",
      fix: "Remove it from the cluster's entry in the kubeconfig, or run where the API server can be reached directly"
    })
  }
  if (server.startsWith("http:")) {
    // client-node requires this for plain HTTP (`kubectl proxy`), although there is no TLS to verify.
    config.clusters = config.clusters.map((other) =>
      other.name === cluster.name ? { ...other, skipTLSVerify: true } : other
    )
  }

  const authorize = Effect.tryPromise({
    try: async (): Promise<RequestCredentials> => {
      const options: RequestOptions = {}
      await config.applyToHTTPSOptions(options)
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(options.headers ?? {})) {
        // A token file may end in a newline, which is invalid in a header.
        headers[name] = String(value).trim()
      }
      if (typeof options.auth === "string") {
        headers["Authorization"] = `Basic ${Buffer.from(options.auth).toString("base64")}`
      }
      const { ca, cert, key, servername } = options
      // Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED in the environment cannot disable verification.
      return { headers, tls: { ca, cert, key, servername, rejectUnauthorized: options.rejectUnauthorized !== false } }
    },
    catch: (cause) =>
      new KubeConfigError({
        setting: "user",
        value: config.getCurrentUser()?.name ?? "",
        problem: `no credentials are available (${describe(cause)})`,
        fix: "Check this user's token file, certificate files or exec plugin"
      })
  })

  const authority = Effect.try({
    try: () => ClientNode.bufferFromFileOrString(cluster.caFile, cluster.caData)?.toString(),
    catch: (cause) =>
      new KubeConfigError({
        setting: "certificate-authority",
        value: cluster.caFile ?? "",
        problem: `it cannot be read (${describe(cause)})`,
        fix: "Correct the cluster's entry in the kubeconfig"
      })
  })

  return KubeConfig.of({ server: server.replace(/\/+$/, ""), authority, authorize })
})

/**
 * The address of the cluster, and the credentials for a request to it.
 *
 * `authorize` runs for every request, so that a rotated token or client certificate takes effect: it reads the files
 * again, or runs the exec plugin again once its credential has expired.
 */
export class KubeConfig extends Context.Service<
  KubeConfig,
  {
    /** Base URL of the API server, without a trailing slash. */
    readonly server: string
    /** The CA of the API server in PEM; undefined if none is configured. */
    readonly authority: Effect.Effect<string | undefined, KubeConfigError>
    readonly authorize: Effect.Effect<RequestCredentials, KubeConfigError>
  }
>()("kube-resource-api/kube/KubeConfig") {}

/** From the pod's service account or a kubeconfig. */
export const layer = (options: KubeConfigOptions): Layer.Layer<KubeConfig, KubeConfigError> =>
  Layer.effect(KubeConfig, Effect.flatMap(load(options), make))

/** A cluster without a configuration file. */
export const layerEndpoint = (endpoint: KubeEndpoint): Layer.Layer<KubeConfig, KubeConfigError> =>
  Layer.effect(
    KubeConfig,
    Effect.suspend(() => {
      const config = new ClientNode.KubeConfig()
      config.loadFromClusterAndUser(
        {
          name: "endpoint",
          server: endpoint.url,
          skipTLSVerify: false,
          ...(endpoint.ca === undefined ? {} : { caData: base64(endpoint.ca) })
        },
        {
          name: "endpoint",
          ...(endpoint.token === undefined ? {} : { token: endpoint.token }),
          ...(endpoint.cert === undefined ? {} : { certData: base64(endpoint.cert) }),
          ...(endpoint.key === undefined ? {} : { keyData: base64(endpoint.key) })
        }
      )
      return make(config)
    })
  )
