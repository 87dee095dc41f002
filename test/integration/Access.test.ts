import { assert, describe } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { demoAccess } from "../../src/embedded/Access.ts"
import * as ClusterAuthorization from "../../src/authorization/ClusterAuthorization.ts"
import * as PolicyAuthorization from "../../src/authorization/PolicyAuthorization.ts"
import { send } from "../support/Https.ts"
import { type Client, file } from "../support/Pki.ts"
import { TestService, withService } from "../support/TestService.ts"

type Kind = "read" | "write" | "description" | "probe" | "unknown" | "malformed" | "absent"

/** Every endpoint, and requests that no endpoint accepts. */
const requests: ReadonlyArray<readonly [method: string, path: string, kind: Kind]> = [
  ["GET", "/namespaces", "read"],
  ["HEAD", "/namespaces", "read"],
  ["GET", "/namespaces/personal/deployments", "read"],
  ["GET", "/namespaces/ANY/deployments", "read"],
  ["GET", "/namespaces/personal/deployments/nginx/replica_count", "read"],
  ["HEAD", "/namespaces/personal/deployments/nginx/replica_count", "read"],
  ["GET", "/namespaces/personal/deployments/ANY/replica_count", "read"],
  ["GET", "/namespaces/ANY/deployments/ANY/replica_count", "read"],
  ["GET", "/namespaces/ANY/deployments/nginx/replica_count", "read"],
  ["PUT", "/namespaces/personal/deployments/nginx/replica_count/12", "write"],
  ["GET", "/livez", "probe"],
  ["GET", "/readyz", "probe"],
  ["HEAD", "/metrics", "read"],
  ["GET", "/openapi.json", "description"],
  ["GET", "/nothing", "unknown"],
  ["POST", "/namespaces", "unknown"],
  ["GET", "/namespaces/Personal/deployments", "malformed"],
  ["PUT", "/namespaces/personal/deployments/nginx/replica_count/-1", "malformed"],
  ["PUT", "/namespaces/personal/deployments/ANY/replica_count/1", "malformed"],
  ["GET", "/namespaces/nowhere/deployments", "absent"],
  ["GET", "/namespaces/personal/deployments/nothing/replica_count", "absent"]
]

/** The statuses by kind of request for each identified client. */
const identified = {
  admin: { read: 200, write: 200, description: 200, probe: 200, unknown: 404, malformed: 400, absent: 410 },
  viewer: { read: 200, write: 401, description: 200, probe: 200, unknown: 404, malformed: 400, absent: 410 },
  nobody: { read: 401, write: 401, description: 200, probe: 200, unknown: 404, malformed: 400, absent: 401 }
} as const satisfies Partial<Record<Client, Record<Kind, number>>>
const unidentified = {
  read: 403,
  write: 403,
  description: 403,
  probe: 200,
  unknown: 404,
  malformed: 403,
  absent: 403
} as const satisfies Record<Kind, number>

const clients: ReadonlyArray<readonly [Client, Record<Kind, number>]> = [
  ["admin", identified.admin],
  ["viewer", identified.viewer],
  ["nobody", identified.nobody],
  ["stranger", unidentified],
  ["none", unidentified],
  ["expired", unidentified],
  ["revoked", unidentified],
  ["wrong-usage", unidentified],
  ["nameless", unidentified]
]

const codes: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Unidentified",
  404: "UnknownEndpoint",
  410: "NotFound"
}

const modes = {
  policy: {
    authorizer: PolicyAuthorization.layer(new URL("../../deploy/demo/policy.yaml", import.meta.url).pathname)
  },
  kubernetes: {
    authorizer: ClusterAuthorization.layer({
      authorizationCacheAllow: Duration.minutes(5),
      authorizationCacheDeny: Duration.seconds(30),
      authorizationCacheSize: 1000,
      authorizationDeniedGroups: ["kubeadm:*", "admins"]
    }),
    kube: { decideAccess: demoAccess }
  }
}

for (const [mode, overrides] of Object.entries(modes)) {
  withService({ ...overrides, tlsCrlFile: file("ca.crl") })(
    `status by client and request, AUTHORIZATION=${mode}`,
    (it) => {
      for (const [client, statuses] of clients) {
        describe(client, () => {
          for (const [method, path, kind] of requests) {
            it.effect(`${method} ${path}: ${statuses[kind]}`, () =>
              Effect.gen(function* () {
                const { port } = yield* TestService
                const answer = yield* send(port, { client, path, method })
                assert.strictEqual(answer.status, statuses[kind], answer.body)
                if (method === "HEAD") return assert.strictEqual(answer.body, "")
                const code = codes[answer.status]
                const body: unknown = JSON.parse(answer.body)
                if (code === undefined) return assert.strictEqual(answer.headers["content-type"], "application/json")
                assert.strictEqual(answer.headers["content-type"], "application/problem+json")
                assert.propertyVal(body, "code", code)
                assert.propertyVal(body, "status", answer.status)
              })
            )
          }
        })
      }
    }
  )
}
