/**
 * Reads and scales a deployment through kube-resource-api, with its typed client.
 *
 * consumer-effect.ts poll [SECONDS]   prints the count whenever a poll finds another one
 * consumer-effect.ts wait             prints each count, as soon as it changes
 * consumer-effect.ts stream           prints all counts of the namespace after each change
 * consumer-effect.ts add N            adds N replicas
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Option, Schedule, Stream } from "effect"
import * as Client from "kube-resource-api-client"
import { readFileSync } from "node:fs"

const url = process.env["SERVICE_URL"] ?? "https://localhost:8443"
const certs = process.env["CERTS"] ?? ".dev/pki"
const pem = (name: string) => readFileSync(`${certs}/${name}`, "utf8")

const namespace = Client.NamespaceName.make("personal")
const deployment = Client.DeploymentName.make("nginx")
const params = { namespace, deployment }

/** Of other problems the caller, its certificate or its permissions are the cause: no retry mends them. */
const transient = new Set([
  "ClusterUnavailable",
  "HttpClientError",
  "Internal",
  "NotReady",
  "RequestTimeout",
  "TimeoutError",
  "TooManyRequests"
])

const backOff = Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("30 seconds")]).pipe(
  Schedule.jittered
)

/** A read changes nothing, so that it is tried until the service answers. */
const untilAnswered =
  (timeout: Duration.Duration) =>
  <A, E extends { readonly _tag: string }>(read: Effect.Effect<A, E>) =>
    read.pipe(
      Effect.timeout(timeout),
      Effect.tapError((error) => Effect.logWarning("Cannot read the count", error)),
      Effect.retry({ schedule: backOff, while: ({ _tag }) => transient.has(_tag) })
    )

/** The count at first, and whenever a read finds another one. With `wait` the service answers when it changes. */
const counts = (client: Client.Client, pause: Duration.Duration, wait?: Duration.Duration) => {
  const timeout = Duration.sum(wait ?? Duration.zero, Duration.seconds(10))
  const first = client.tagged.getReplicaCount({ params })
  // The service also answers a wait at once if it shuts down, hence the pause.
  const next = (etag: Client.EntityTag) =>
    client.changed
      .getReplicaCount({ params, etag, ...(wait === undefined ? {} : { wait }) })
      .pipe(untilAnswered(timeout), Effect.repeat({ while: Option.isNone, schedule: Schedule.spaced(pause) }))
  return Stream.paginate(Option.none<Client.EntityTag>(), (seen) =>
    Effect.gen(function* () {
      const found = Option.isNone(seen) ? Option.some(yield* untilAnswered(timeout)(first)) : yield* next(seen.value)
      return [
        Option.toArray(Option.map(found, ({ body }) => body.replica_count)),
        Option.some(Option.map(found, ({ etag }) => etag))
      ]
    })
  )
}

/** Adds to the count. A write of others in between is neither lost nor overwritten. */
const add = (client: Client.Client, more: number) =>
  client.updateReplicaCount({ params, update: (current) => Client.ReplicaCount.make(current + more) })

const program = Effect.gen(function* () {
  const client = yield* Client.make(url)
  const [command, word] = process.argv.slice(2)
  const show = (replicas: number) => Console.log(`nginx has ${replicas} replicas`)
  switch (command) {
    case "poll":
      return yield* Stream.runForEach(counts(client, Duration.seconds(Number(word ?? 5))), show)
    case "wait":
      return yield* Stream.runForEach(counts(client, Duration.seconds(1), Duration.seconds(30)), show)
    case "stream":
      // The client reconnects, resumes, and applies the changes.
      return yield* Stream.runForEach(client.watchReplicaCounts({ params: { namespace } }), ({ deployments }) =>
        Console.log(JSON.stringify(Object.fromEntries(deployments.map((of) => [of.deployment, of.replica_count]))))
      )
    case "add":
      return yield* Effect.flatMap(add(client, Number(word)), show)
    default:
      return yield* Console.error("Usage: consumer-effect.ts poll [SECONDS] | wait | stream | add N")
  }
})

program.pipe(
  Effect.provide(Client.layerMutualTls({ ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") })),
  NodeRuntime.runMain
)
