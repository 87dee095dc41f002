import { assert } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import { TestService, withService } from "../support/TestService.ts"

const decodeCount = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ replica_count: Schema.Number })))

const count = (deployment: string) =>
  Effect.flatMap(TestService, ({ port }) =>
    send(port, { client: "viewer", path: `/namespaces/personal/deployments/${deployment}/replica_count` })
  ).pipe(Effect.map(({ body, status }) => (status === 200 ? decodeCount(body).replica_count : status)))

const until = (deployment: string, expected: number) =>
  eventually(count(deployment), (found) => assert.strictEqual(found, expected, deployment))

for (const protobuf of [true, false]) {
  withService({
    kube: { protobuf },
    watch: { backoffFirst: Duration.millis(5), backoffLongest: Duration.millis(40) }
  })(`an object that cannot be decoded, in ${protobuf ? "protobuf" : "JSON"}`, (it) => {
    it.effect("keeps its last known state through events and lists, and does not delay other objects", () =>
      Effect.gen(function* () {
        const { cluster, faults, ...kube } = yield* EmbeddedKube
        yield* kube.awaitWatches(2)
        yield* cluster.putDeployment("personal", "nginx", -1)
        yield* cluster.scale("personal", "kafka", 4)
        yield* until("kafka", 4)
        assert.strictEqual(yield* count("nginx"), 12)
        // The version to resume from is compacted, so the informer lists the cluster again.
        for (const replicas of [5, 6]) {
          yield* kube.compact
          yield* faults.dropWatches()
          yield* cluster.scale("personal", "kafka", replicas)
          yield* until("kafka", replicas)
          assert.strictEqual(yield* count("nginx"), 12)
        }
        yield* cluster.putDeployment("personal", "nginx", 13)
        yield* until("nginx", 13)
        yield* cluster.putDeployment("personal", "nginx", -1)
        yield* cluster.deleteDeployment("personal", "nginx")
        yield* until("nginx", 410)
      })
    )
  })
}
