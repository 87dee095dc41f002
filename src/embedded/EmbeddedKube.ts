/** One file: the server and its lifetime; requests, watches and storage have files of their own. */
import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { Clock, Context, Data, Duration, Effect, FiberSet, Latch, Layer, type Scope } from "effect"
import { type AccessReviewSpec, type DecideAccess, denyAll, type RbacRule } from "./Access.ts"
import { ClusterStore } from "./ClusterStore.ts"
import { type Faults, FaultSwitches, type FaultTarget, makeFaults } from "./Faults.ts"
import { type KubeBackend, serveSafely } from "./KubeRequests.ts"
import { type RecordedRequest, RequestRecorder } from "./RecordedRequests.ts"
import type { RecordedEvent } from "./RequestBody.ts"
import type { Seed } from "./Seed.ts"

/** The port of the embedded cluster could not be bound. */
export class ListenFailed extends Data.TaggedError("ListenFailed")<{ readonly cause: unknown }> {
  override readonly message = "the embedded cluster could not bind its port"
}

/** The operation names a namespace or deployment (`namespace/name`) that does not exist. */
export class NoSuchObject extends Data.TaggedError("NoSuchObject")<{ readonly key: string }> {
  override readonly message = `the embedded cluster has no ${this.key}`
}

/** PEM texts. With `clientCa`, client certificates that it signed are accepted as credentials. */
export interface EmbeddedKubeTls {
  readonly cert: string
  readonly key: string
  readonly clientCa?: string
}

/** Options of the embedded cluster. Without `tokens` and `tls.clientCa` it accepts every request. */
export interface EmbeddedKubeOptions {
  /** Initial content. Default: none. */
  readonly seed?: Seed
  /** Serves https instead of http. */
  readonly tls?: EmbeddedKubeTls
  /** Accepted bearer tokens. */
  readonly tokens?: ReadonlyArray<string>
  /** Interval of the bookmarks of a watch that asked for them. Default: 60 seconds. */
  readonly bookmarkInterval?: Duration.Input
  /** Upper bound of the `limit` of a list. Default: none. */
  readonly maxPageSize?: number
  /** Whether `sendInitialEvents` is supported, as on a server with the WatchList feature. Default: true. */
  readonly streamingLists?: boolean
  /**
   * Whether to offer Kubernetes protobuf for lists, watches and their errors. If false, all responses are JSON, as behind
   * some proxies. Default: true.
   */
  readonly protobuf?: boolean
  /** Loopback port. Default: 0, a free one. */
  readonly bindPort?: number
  /** Changes kept of each resource, for watches to resume from. Default: 100,000. */
  readonly historyLimit?: number
  /** The start of the UIDs. Clusters with the same `firstUid` and seed have the same UIDs. Default: random. */
  readonly firstUid?: number
  /** Answers SubjectAccessReviews. Default: `denyAll`. */
  readonly decideAccess?: DecideAccess
  /**
   * RBAC rules for all authenticated users. They do not apply to SubjectAccessReviews. Default: everything is allowed.
   */
  readonly rules?: ReadonlyArray<RbacRule>
}

/** The current content of the cluster, sorted by key. */
export interface ClusterSnapshot {
  readonly resourceVersion: string
  readonly namespaces: ReadonlyArray<string>
  /** `replicas` is 1 if the object has no count. */
  readonly deployments: ReadonlyArray<{
    readonly namespace: string
    readonly name: string
    readonly replicas: number
    readonly resourceVersion: string
  }>
}

/** Changes to the cluster, as its other users and controllers would make them. */
export interface ClusterOperations {
  /** Adds the namespace, unless it exists. */
  readonly createNamespace: (name: string) => Effect.Effect<void>
  /** Removes the namespace and its deployments as Kubernetes does, through the Terminating phase. */
  readonly deleteNamespace: (name: string) => Effect.Effect<void, NoSuchObject>
  /** Adds or changes a deployment, always with a new version, as a status update does. */
  readonly putDeployment: (
    namespace: string,
    name: string,
    replicas: number | undefined
  ) => Effect.Effect<void, NoSuchObject>
  readonly deleteDeployment: (namespace: string, name: string) => Effect.Effect<void, NoSuchObject>
  /** Sets the replica count. An unchanged count makes no new version. */
  readonly scale: (namespace: string, name: string, replicas: number) => Effect.Effect<void, NoSuchObject>
  /**
   * Adds `namespaces` namespaces from `load-00000`, each with `deployments` deployments from `deployment-00000` of 1 to
   * 10 replicas. `padding` is the size of their managedFields in bytes; 3000 gives an object of a realistic size.
   */
  readonly seedMany: (
    namespaces: number,
    deployments: number,
    options?: { readonly padding?: number }
  ) => Effect.Effect<void>
}

/**
 * An in-memory Kubernetes API server on loopback that speaks the wire protocol, for the demo and for tests with fault
 * injection. It serves namespaces, deployments and their scale, SubjectAccessReviews and Events.
 */
export class EmbeddedKube extends Context.Service<
  EmbeddedKube,
  {
    /** Such as `http://127.0.0.1:40123`, without a trailing slash. */
    readonly url: string
    readonly cluster: ClusterOperations
    readonly faults: Faults
    readonly snapshot: Effect.Effect<ClusterSnapshot>
    /** Compacts: resuming from any older version then fails with 410. Open watches continue. */
    readonly compact: Effect.Effect<void>
    /**
     * Restarts from an older backup: connections are closed, the history is lost, and the same objects have versions at
     * or below `resourceVersion`, from which the counter continues.
     */
    readonly restart: (options: { readonly resourceVersion: number }) => Effect.Effect<void>
    /** The requests received, oldest first. */
    readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
    readonly clearRequests: Effect.Effect<void>
    /** Number of open watches. */
    readonly openWatches: (target?: FaultTarget) => Effect.Effect<number>
    /** Waits until at least `count` watches are open. */
    readonly awaitWatches: (count: number, target?: FaultTarget) => Effect.Effect<void>
    /** The latest 10,000 Events posted, oldest first. */
    readonly events: Effect.Effect<ReadonlyArray<RecordedEvent>>
    /** The specs of the latest 10,000 SubjectAccessReviews received, oldest first. */
    readonly accessQuestions: Effect.Effect<ReadonlyArray<AccessReviewSpec>>
    /** Replaces the decision of SubjectAccessReviews. */
    readonly setAccess: (decide: DecideAccess) => Effect.Effect<void>
    /** Replaces the RBAC rules; undefined allows everything. Open watches continue. */
    readonly setRules: (rules: ReadonlyArray<RbacRule> | undefined) => Effect.Effect<void>
    /** Replaces the accepted bearer tokens; an empty list accepts none. */
    readonly setTokens: (tokens: ReadonlyArray<string>) => Effect.Effect<void>
  }
>()("kube-resource-api/embedded/EmbeddedKube") {
  /** The server, until the scope of the layer closes. Fails with `ListenFailed` if its port cannot be bound. */
  static readonly layer = (options: EmbeddedKubeOptions = {}): Layer.Layer<EmbeddedKube, ListenFailed> =>
    Layer.effect(EmbeddedKube, make(options))
}

const defaultHistoryLimit = 100_000

const tokenUser = "system:serviceaccount:default:kube-resource-api"

/** Authenticates a request by its client certificate or its bearer token. */
const makeAuthentication = (options: EmbeddedKubeOptions) => {
  let tokens = options.tokens === undefined ? undefined : new Set(options.tokens)
  const certificates = options.tls?.clientCa !== undefined
  return {
    setTokens: (accepted: ReadonlyArray<string>): void => {
      tokens = new Set(accepted)
    },
    authenticate: (request: Http.IncomingMessage): string | undefined => {
      if (tokens === undefined && !certificates) return "system:admin"
      const { socket } = request
      if (certificates && socket instanceof TLSSocket && socket.authorized) {
        const name = socket.getPeerCertificate().subject.CN
        return Array.isArray(name) ? name[0] : name
      }
      const bearer = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1]
      return bearer !== undefined && tokens?.has(bearer) === true ? tokenUser : undefined
    }
  }
}

const makeServer = (tls: EmbeddedKubeTls | undefined, onRequest: Http.RequestListener): Http.Server | Https.Server => {
  const common = { keepAliveTimeout: 90_000, requestTimeout: 0 }
  if (tls === undefined) return Http.createServer(common, onRequest)
  const { cert, key, clientCa } = tls
  return Https.createServer(
    {
      ...common,
      cert,
      key,
      // A client without a certificate is not disconnected: its request may have a token, and gets 401 otherwise.
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: false })
    },
    onRequest
  )
}

/** Binds the server to loopback until the scope closes. Succeeds with the port. */
const listen = (server: Http.Server | Https.Server, port: number): Effect.Effect<number, ListenFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<number, ListenFailed>((resume) => {
      const onError = (cause: Error): void => resume(Effect.fail(new ListenFailed({ cause })))
      server.once("error", onError)
      server.listen(port, "127.0.0.1", () => {
        server.off("error", onError)
        const address = server.address()
        resume(
          address === null || typeof address === "string"
            ? Effect.fail(new ListenFailed({ cause: "no port was bound" }))
            : Effect.succeed(address.port)
        )
      })
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

const plant = (store: ClusterStore, seed: Seed, now: number): void => {
  for (const [namespace, deployments] of Object.entries(seed)) {
    store.putNamespace(namespace, now)
    for (const [name, replicas] of Object.entries(deployments)) store.putDeployment(namespace, name, replicas, now)
  }
}

const numbered = (word: string, index: number): string => `${word}-${String(index).padStart(5, "0")}`

const orMissing = (key: string, found: boolean): Effect.Effect<void, NoSuchObject> =>
  found ? Effect.void : Effect.fail(new NoSuchObject({ key }))

const clusterOperations = (store: ClusterStore): ClusterOperations => {
  return {
    createNamespace: (name) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        store.putNamespace(name, now)
      }),
    deleteNamespace: (name) => Effect.suspend(() => orMissing(name, store.removeNamespace(name))),
    putDeployment: (namespace, name, replicas) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (store.getNamespace(namespace) === undefined) return orMissing(namespace, false)
        store.putDeployment(namespace, name, replicas, now)
        return Effect.void
      }),
    deleteDeployment: (namespace, name) =>
      Effect.suspend(() => orMissing(`${namespace}/${name}`, store.removeDeployment(namespace, name))),
    scale: (namespace, name, replicas) =>
      Effect.suspend(() => orMissing(`${namespace}/${name}`, store.scale(namespace, name, replicas) !== undefined)),
    seedMany: Effect.fnUntraced(function* (namespaces, deployments, options) {
      const now = yield* Clock.currentTimeMillis
      for (let index = 0; index < namespaces; index += 1) {
        const namespace = numbered("load", index)
        store.putNamespace(namespace, now)
        for (let each = 0; each < deployments; each += 1) {
          const replicas = 1 + ((index + each) % 10)
          store.putDeployment(namespace, numbered("deployment", each), replicas, now, options?.padding ?? 0)
        }
        yield* Effect.yieldNow
      }
    })
  }
}

const snapshotOf = (store: ClusterStore): ClusterSnapshot => ({
  resourceVersion: String(store.resourceVersion),
  namespaces: store.snapshot("namespaces").items.map(({ name }) => name),
  deployments: store.snapshot("deployments").items.flatMap((object) =>
    object.resource === "deployments"
      ? [
          {
            namespace: object.namespace,
            name: object.name,
            replicas: object.replicas ?? 1,
            resourceVersion: String(object.resourceVersion)
          }
        ]
      : []
  )
})

const makeBackend = (
  options: EmbeddedKubeOptions,
  store: ClusterStore,
  authenticate: KubeBackend["authenticate"],
  watchesChanged: KubeBackend["watchesChanged"]
): KubeBackend => ({
  store,
  switches: new FaultSwitches(),
  log: new RequestRecorder(),
  events: [],
  accessQuestions: [],
  decideAccess: options.decideAccess ?? denyAll,
  rules: options.rules,
  bookmarkInterval: Duration.fromInputUnsafe(options.bookmarkInterval ?? "60 seconds"),
  streamingLists: options.streamingLists ?? true,
  maxPageSize: options.maxPageSize ?? Infinity,
  protobuf: options.protobuf ?? true,
  authenticate,
  watchesChanged
})

/** Serves the backend until the scope closes. Succeeds with the port and with how to destroy all connections. */
const serve = Effect.fnUntraced(function* (backend: KubeBackend, options: EmbeddedKubeOptions) {
  const { store, switches } = backend
  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const server = makeServer(options.tls, (request, response) => {
    const fiber = fork(serveSafely(backend, request, response))
    response.once("close", () => fiber.interruptUnsafe())
    // A write to a connection that was just destroyed is reported here. The close handler above interrupts the fiber.
    response.on("error", () => {})
  })
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    if (switches.unavailable) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  const disconnectAll = (): void => {
    for (const socket of sockets) socket.destroy()
    switches.watches.clear()
    backend.watchesChanged()
  }
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      store.onChange((resource) => {
        for (const watch of switches.watches) if (watch.plan.resource === resource) watch.notify()
      })
    ),
    (unsubscribe) => Effect.sync(unsubscribe)
  )
  const port = yield* listen(server, options.bindPort ?? 0)
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      switches.unavailable = true
      disconnectAll()
    })
  )
  return { port, disconnectAll }
})

const make = Effect.fnUntraced(function* (options: EmbeddedKubeOptions) {
  const store = new ClusterStore(options.historyLimit ?? defaultHistoryLimit, options.firstUid)
  plant(store, options.seed ?? {}, yield* Clock.currentTimeMillis)
  const watchesChanged = Latch.makeUnsafe(false)
  const { authenticate, setTokens } = makeAuthentication(options)
  const backend = makeBackend(options, store, authenticate, () => void watchesChanged.openUnsafe())
  const { disconnectAll, port } = yield* serve(backend, options)

  const countWatches = (target: FaultTarget = "both"): number =>
    [...backend.switches.watches].filter(({ plan }) => target === "both" || plan.resource === target).length

  return EmbeddedKube.of({
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    cluster: clusterOperations(store),
    faults: makeFaults(backend.switches, disconnectAll),
    snapshot: Effect.sync(() => snapshotOf(store)),
    compact: Effect.sync(() => store.compact()),
    restart: ({ resourceVersion }) =>
      Effect.sync(() => {
        disconnectAll()
        store.rewind(resourceVersion)
      }),
    requests: Effect.sync(() => backend.log.all),
    clearRequests: Effect.sync(() => backend.log.clear()),
    openWatches: (target) => Effect.sync(() => countWatches(target)),
    awaitWatches: Effect.fnUntraced(function* (count, target) {
      while (countWatches(target) < count) {
        watchesChanged.closeUnsafe()
        yield* watchesChanged.await
      }
    }),
    events: Effect.sync(() => [...backend.events]),
    accessQuestions: Effect.sync(() => [...backend.accessQuestions]),
    setAccess: (decide) =>
      Effect.sync(() => {
        backend.decideAccess = decide
      }),
    setRules: (rules) =>
      Effect.sync(() => {
        backend.rules = rules
      }),
    setTokens: (tokens) => Effect.sync(() => setTokens(tokens))
  })
})
