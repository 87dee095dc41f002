import * as Http from "node:http"
import * as Https from "node:https"
import type { Socket } from "node:net"
import { TLSSocket } from "node:tls"
import { Clock, Context, Duration, Effect, FiberSet, Latch, Layer, Schema, type Scope } from "effect"
import { type AccessQuestion, type DecideAccess, denyAll } from "./AccessReview.ts"
import { ClusterStore } from "./ClusterStore.ts"
import { type Faults, FaultSwitches, type FaultTarget, makeFaults } from "./Faults.ts"
import { type KubeBackend, serveSafely } from "./KubeRequests.ts"
import type { RbacRule } from "./Rbac.ts"
import type { RecordedEvent } from "./RecordedEvent.ts"
import { type LoggedRequest, RequestLog } from "./RecordedRequests.ts"
import type { Seed } from "./Seed.ts"

/** The embedded cluster's port could not be bound. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", { cause: Schema.Defect() }) {
  override readonly message = "the embedded cluster could not bind its port"
}

/** An operation named a namespace or deployment (`namespace/name`) that the embedded cluster does not hold. */
export class NoSuchObject extends Schema.TaggedError<NoSuchObject>()("NoSuchObject", { key: Schema.String }) {
  override readonly message = `the embedded cluster holds no ${this.key}`
}

/** PEM texts. With `clientCa`, a client certificate it signed is an accepted credential. */
export interface EmbeddedKubeTls {
  readonly cert: string
  readonly key: string
  readonly clientCa?: string
}

/** How the embedded cluster is set up. Without `tokens` and `tls.clientCa` every request is accepted. */
export interface EmbeddedKubeOptions {
  /** What it holds at its start; nothing when absent. */
  readonly seed?: Seed
  /** Serves https instead of http. */
  readonly tls?: EmbeddedKubeTls
  /** The accepted bearer tokens. */
  readonly tokens?: ReadonlyArray<string>
  /** How often a watch that asked for bookmarks gets one. Default 60 seconds. */
  readonly bookmarkInterval?: Duration.Input
  /** The most items a list with a `limit` gets in one page. Default: what the limit says. */
  readonly maxPageSize?: number
  /** Whether `sendInitialEvents` is served. Default true; false is a server without the WatchList feature. */
  readonly streamingLists?: boolean
  /** The loopback port; 0, the default, takes a free one. */
  readonly bindPort?: number
  /** How many changes of each resource a watch may resume across. Default 100,000. */
  readonly historyLimit?: number
  /** Answers SubjectAccessReviews. Default: denies all. */
  readonly decideAccess?: DecideAccess
  /** What whoever is authenticated may do, the access reviews apart. Default: everything. */
  readonly rules?: ReadonlyArray<RbacRule>
}

/** The cluster as it is, sorted by key. */
export interface ClusterSnapshot {
  readonly resourceVersion: string
  readonly namespaces: ReadonlyArray<string>
  /** `replicas` is 1 where the object says none. */
  readonly deployments: ReadonlyArray<{
    readonly namespace: string
    readonly name: string
    readonly replicas: number
    readonly resourceVersion: string
  }>
}

/** Changes the cluster from within, as its other users and controllers would. */
export interface ClusterOperations {
  /** Adds the namespace unless it is there. */
  readonly createNamespace: (name: string) => Effect.Effect<void>
  /** Removes the namespace and all it holds: Terminating, then each deployment's deletion, then its own. */
  readonly deleteNamespace: (name: string) => Effect.Effect<void, NoSuchObject>
  /** Adds or changes a deployment. Always makes a new version, also when the count stays (a status update does that). */
  readonly putDeployment: (
    namespace: string,
    name: string,
    replicas: number | undefined
  ) => Effect.Effect<void, NoSuchObject>
  readonly deleteDeployment: (namespace: string, name: string) => Effect.Effect<void, NoSuchObject>
  /** Sets the count; the one it has already changes nothing. */
  readonly scale: (namespace: string, name: string, replicas: number) => Effect.Effect<void, NoSuchObject>
  /**
   * Adds `namespaces` namespaces `load-00000` and up, each with `deployments` deployments `deployment-00000` and up of
   * 1 to 10 replicas. `padding`: bytes of managedFields for each object; 3000 makes it about the size of a real one.
   */
  readonly seedMany: (
    namespaces: number,
    deployments: number,
    options?: { readonly padding?: number }
  ) => Effect.Effect<void>
}

/**
 * An in-memory Kubernetes API server on loopback that speaks the real wire protocol: the demo cluster, and the
 * integration tests' fault injector. It serves namespaces, deployments and their scale, access reviews
 * and events.
 */
export class EmbeddedKube extends Context.Service<
  EmbeddedKube,
  {
    /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
    readonly url: string
    readonly cluster: ClusterOperations
    readonly faults: Faults
    readonly snapshot: Effect.Effect<ClusterSnapshot>
    /** Forgets history: to resume from any older version than the present one gives 410. Open watches go on. */
    readonly compact: Effect.Effect<void>
    /**
     * A restart from an older backup: connections drop, history is gone, and the same objects have versions at or below
     * `resourceVersion`, from where the counter goes on.
     */
    readonly restart: (options: { readonly resourceVersion: number }) => Effect.Effect<void>
    /** The requests received, oldest first. */
    readonly requests: Effect.Effect<ReadonlyArray<LoggedRequest>>
    readonly clearRequests: Effect.Effect<void>
    /** How many watches are open. */
    readonly openWatches: (target?: FaultTarget) => Effect.Effect<number>
    /** Waits until at least `count` watches are open. */
    readonly awaitWatches: (count: number, target?: FaultTarget) => Effect.Effect<void>
    /** The Events clients have posted, oldest first; the latest 10,000 are kept. */
    readonly events: Effect.Effect<ReadonlyArray<RecordedEvent>>
    /** The questions of the SubjectAccessReviews received, oldest first; the latest 10,000 are kept. */
    readonly accessQuestions: Effect.Effect<ReadonlyArray<AccessQuestion>>
    /** Answers SubjectAccessReviews from now on. */
    readonly setAccess: (decide: DecideAccess) => Effect.Effect<void>
    /** From now on whoever is authenticated may do what these rules permit; undefined: everything. Open watches go on. */
    readonly setRules: (rules: ReadonlyArray<RbacRule> | undefined) => Effect.Effect<void>
    /** Accepts these bearer tokens and no others from now on; an empty list accepts none. */
    readonly setTokens: (tokens: ReadonlyArray<string>) => Effect.Effect<void>
  }
>()("kube-resource-api/embedded/EmbeddedKube") {
  /** The server, for as long as the layer's scope is open. Fails with `ListenFailed` when its port cannot be bound. */
  static readonly layer = (options: EmbeddedKubeOptions = {}): Layer.Layer<EmbeddedKube, ListenFailed> =>
    Layer.effect(EmbeddedKube, make(options))
}

const defaultHistoryLimit = 100_000

const tokenUser = "system:serviceaccount:default:kube-resource-api"

/** Tells who a request is from by its client certificate or its bearer token. */
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
      // Whoever shows no certificate is answered 401, not cut off: a token may identify the request.
      ...(clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: false })
    },
    onRequest
  )
}

/** Binds the server to loopback for the scope's time; gives the port. */
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

const make = Effect.fnUntraced(function* (options: EmbeddedKubeOptions) {
  const store = new ClusterStore(options.historyLimit ?? defaultHistoryLimit)
  plant(store, options.seed ?? {}, yield* Clock.currentTimeMillis)
  const switches = new FaultSwitches()
  const watchesChanged = Latch.makeUnsafe(false)
  const { authenticate, setTokens } = makeAuthentication(options)
  const backend: KubeBackend = {
    store,
    switches,
    log: new RequestLog(),
    events: [],
    accessQuestions: [],
    decideAccess: options.decideAccess ?? denyAll,
    rules: options.rules,
    bookmarkInterval: Duration.fromInputUnsafe(options.bookmarkInterval ?? "60 seconds"),
    streamingLists: options.streamingLists ?? true,
    maxPageSize: options.maxPageSize ?? Infinity,
    authenticate,
    watchesChanged: () => {
      watchesChanged.openUnsafe()
    }
  }

  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const server = makeServer(options.tls, (request, response) => {
    const fiber = fork(serveSafely(backend, request, response))
    response.once("close", () => fiber.interruptUnsafe())
    // A write that meets a connection just destroyed is reported here; the close above is what matters.
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
    watchesChanged.openUnsafe()
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

  const countWatches = (target: FaultTarget = "both"): number => {
    if (target === "both") return switches.watches.size
    return [...switches.watches].filter(({ plan }) => plan.resource === target).length
  }

  return EmbeddedKube.of({
    url: `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    cluster: clusterOperations(store),
    faults: makeFaults(switches, disconnectAll),
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
