/**
 * The contract, as a client can check it on any instance and any cluster. The order matters: the check of rate limits is
 * last, because the client is refused after it.
 *
 * This file has a row for each row of the contract. `ReadChecks.ts` has conditional reads, waits and event streams,
 * `WriteChecks.ts` conditional writes and dry runs.
 */
import { Effect, Schema } from "effect"
import { type Check, eventually, expect, expectSame, LeftOut } from "./Check.ts"
import { settings as serviceSettings } from "../settings/Settings.ts"
import { conditionalReads, streams, waits } from "./ReadChecks.ts"
import { ScratchCluster } from "./ScratchCluster.ts"
import { type Caller, type Question, ServiceUnderTest } from "./ServiceUnderTest.ts"
import {
  ask,
  type Checks,
  count,
  expectProblem,
  expectStatus,
  ofDenied,
  one,
  problem,
  type Scratch,
  type Services
} from "./Requests.ts"
import { conditionalWrites } from "./WriteChecks.ts"

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))

const expectBody = Effect.fnUntraced(function* (path: string, body: unknown, as: Caller = "admin") {
  const expected = JSON.stringify(body)
  const answer = yield* ask(path, { as })
  yield* expectStatus(answer, 200)
  yield* expectSame("body", answer.body, expected)
  yield* expectSame("Content-Type", answer.headers["content-type"], "application/json")
  yield* expectSame("Content-Length", answer.headers["content-length"], String(Buffer.byteLength(expected)))
  const head = yield* ask(path, { as, method: "HEAD" })
  yield* expectSame("HEAD", [head.status, head.body], [200, ""])
  yield* expectSame("Content-Length of HEAD", head.headers["content-length"], answer.headers["content-length"])
})

const read = (scratch: Scratch, row: string, path: string, body: unknown): Check<Services> => ({
  row,
  says: `GET and HEAD ${path}`,
  run: eventually(expectBody(path, body), scratch.patienceMillis)
})

/** Checks that an array body is sorted, and returns the entries of the suite's own namespaces. */
const ownEntries = Effect.fnUntraced(function* (path: string, { one, two, empty }: Scratch) {
  const answer = yield* ask(path)
  yield* expectStatus(answer, 200)
  const body = yield* Effect.mapError(decodeJson(answer.body), (error) => new Error(error.message))
  const entries = (Array.isArray(body) ? body : []).map((entry: { readonly namespace?: string }) => entry)
  const names = entries.map(({ namespace = "" }) => namespace)
  yield* expectSame("namespaces, sorted by code unit", names, names.toSorted())
  return entries.filter(({ namespace }) => namespace === one || namespace === two || namespace === empty)
})

const everywhere = (
  scratch: Scratch,
  row: string,
  path: string,
  expected: ReadonlyArray<unknown>
): Check<Services> => ({
  row,
  says: `GET ${path} is sorted, with an entry for each namespace of the suite`,
  run: eventually(
    Effect.flatMap(ownEntries(path, scratch), (entries) => expectSame("entries", entries, expected)),
    scratch.patienceMillis
  )
})

const transport: Checks = [
  {
    row: "TLS",
    says: "negotiates TLS 1.3 with one of its three cipher suites",
    run: Effect.gen(function* () {
      const service = yield* ServiceUnderTest
      const { cipher, protocol } = yield* service.handshake({})
      yield* expectSame("protocol", protocol, "TLSv1.3")
      yield* expect(/^TLS_(?:AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256)$/.test(cipher), cipher)
    })
  },
  {
    row: "TLS",
    says: "rejects TLS 1.2",
    run: Effect.gen(function* () {
      const service = yield* ServiceUnderTest
      const outcome = yield* Effect.exit(service.handshake({ minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }))
      yield* expect(outcome._tag === "Failure", "a TLS 1.2 connection was accepted")
    })
  }
]

/** The response to a client without a certificate; left out if the handshake fails. */
const ofNobody = (path: string, question: Question = {}) =>
  Effect.catchTag(ask(path, { ...question, as: "nobody" }), "NoAnswer", (error) =>
    Effect.fail(new LeftOut({ message: `is ${serviceSettings.tlsClientAuth.name}=require? ${error.message}` }))
  )

const probes: Checks = (["admin", "nobody"] as const).flatMap((as) =>
  [
    ["5", "/livez"],
    ["6", "/readyz"]
  ].map(([row = "", path = ""]) => ({
    row,
    says: `GET ${path} answers {} ${as === "nobody" ? "without a certificate" : "with one"}`,
    run: Effect.gen(function* () {
      const answer = yield* as === "nobody" ? ofNobody(path) : ask(path)
      yield* expectSame("status, body", [answer.status, answer.body], [200, "{}"])
    })
  }))
)

const writes = (scratch: Scratch): Checks => {
  const path = count(scratch.one, "nginx")
  const put = (replicas: number): Check<Services> => ({
    row: "4",
    says: `PUT ${path}/${replicas} answers {}, the cluster stores it, and the next GET on the connection shows it`,
    run: Effect.gen(function* () {
      const answer = yield* ask(`${path}/${replicas}`, { method: "PUT" })
      yield* expectSame("status, body", [answer.status, answer.body], [200, "{}"])
      yield* expectSame("GET", (yield* ask(path)).body, JSON.stringify(one(scratch.one, "nginx", replicas)))
      const cluster = yield* ScratchCluster
      yield* expectSame("the cluster's count", yield* cluster.replicas(scratch.one, "nginx"), replicas)
    })
  })
  return [
    put(7),
    put(0),
    put(4),
    {
      row: "4",
      says: "after each of twenty PUTs, GET shows its count",
      run: Effect.gen(function* () {
        for (let replicas = 10; replicas < 30; replicas++) {
          yield* expectStatus(yield* ask(`${path}/${replicas}`, { method: "PUT" }), 200)
          yield* expectSame("GET", (yield* ask(path)).body, JSON.stringify(one(scratch.one, "nginx", replicas)))
        }
      })
    },
    {
      row: "3",
      says: "a count that others set in the cluster becomes visible",
      run: Effect.gen(function* () {
        const cluster = yield* ScratchCluster
        yield* cluster.setReplicas(scratch.one, "nginx", 2)
        yield* eventually(expectBody(path, one(scratch.one, "nginx", 2)), scratch.patienceMillis)
      })
    },
    {
      row: "410",
      says: "a deleted deployment: NotFound",
      run: Effect.gen(function* () {
        const cluster = yield* ScratchCluster
        yield* cluster.deleteDeployment(scratch.one, "kafka")
        yield* eventually(
          Effect.flatMap(ask(count(scratch.one, "kafka")), (answer) => expectProblem(answer, 410, "NotFound")),
          scratch.patienceMillis
        )
      })
    }
  ]
}

const refusals = (scratch: Scratch): Checks => {
  const path = count(scratch.one, "nginx")
  const put = { method: "PUT" } as const
  return [
    ...problem("400", "BadRequest", [
      ...["Upper", "-a", "a_b", "a.b", "a".repeat(64), "%zz", "%", "%00", "%ff", "%2570ersonal", "a%2Fb", ".."].map(
        (name) => [`/namespaces/${name}/deployments`] as const
      ),
      ...["a..b", "-a", "a".repeat(254), "A"].map((name) => [count(scratch.one, name)] as const),
      ...["-1", "+1", "01", "1.0", "1e3", "0x10", "2147483648", "99999999999999999999", "", "%31%20", "ANY"].map(
        (replicas) => [`${path}/${replicas}`, put] as const
      ),
      [`${count("ANY", "nginx")}/1`, put],
      [`${count(scratch.one, "ANY")}/1`, put]
    ]),
    ...problem("404", "UnknownEndpoint", [
      ["/"],
      ["/nothing"],
      ["/namespaces/"],
      ["//namespaces"],
      ["/Namespaces"],
      [`/namespaces/${scratch.one}`],
      [`/namespaces/${scratch.one}/deployments/nginx`],
      [`${path}/3`],
      ["/namespaces", { method: "POST" }],
      [path, { method: "PUT" }],
      [path, { method: "DELETE" }],
      ["/livez", { method: "PATCH" }]
    ]),
    ...problem("410", "NotFound", [
      [`/namespaces/${scratch.absent}/deployments`],
      [count(scratch.absent, "nginx")],
      [count(scratch.absent, "ANY")],
      [count(scratch.one, scratch.absent)],
      [count("ANY", scratch.absent)],
      [`${count(scratch.one, scratch.absent)}/1`, put],
      [`${count(scratch.absent, "nginx")}/1`, put]
    ]),
    ...problem("414", "UriTooLong", [
      [`/namespaces?${"x".repeat(9000)}`, {}, "a target of 9,000 bytes"],
      [`/namespaces?${"x".repeat(80_000)}`, {}, "a target longer than the parser's buffer"],
      [`/nothing?${"x".repeat(9000)}`, { as: "nobody" }, "before 404 and 403"]
    ]),
    ...problem("431", "HeaderFieldsTooLarge", [
      ["/namespaces", { headers: { "x-large": "x".repeat(70_000) } }, "a header block of 70,000 bytes"]
    ]),
    {
      row: "408",
      says: "an incomplete header block: RequestTimeout",
      run: Effect.gen(function* () {
        const service = yield* ServiceUnderTest
        const got = yield* service.unfinished("GET /namespaces HTTP/1.1\r\nHost: x\r\n")
        yield* expect(got.startsWith("HTTP/1.1 408"), `got ${JSON.stringify(got.slice(0, 300))}`)
        yield* expect(got.includes('"code":"RequestTimeout"'), `got ${JSON.stringify(got.slice(0, 600))}`)
      })
    },
    {
      row: "id",
      says: "X-Request-Id is the caller's if it matches [A-Za-z0-9._-]{1,128}, else a new one",
      run: Effect.gen(function* () {
        const given = (id: string, path: string) =>
          Effect.map(ask(path, { headers: { "x-request-id": id } }), ({ headers }) => String(headers["x-request-id"]))
        for (const target of ["/namespaces", "/livez", "/nothing"]) {
          yield* expectSame("id", yield* given("Az09._-", target), "Az09._-")
          const fresh = yield* given("not one of them", target)
          yield* expect(/^[A-Za-z0-9._-]{1,128}$/.test(fresh), `got ${fresh}`)
        }
      })
    },
    {
      row: "Age",
      says: "reads carry Age in whole seconds",
      run: Effect.flatMap(ask("/namespaces"), ({ headers }) =>
        expect(/^[0-9]+$/.test(String(headers["age"])), `got ${String(headers["age"])}`)
      )
    },
    {
      row: "OpenAPI",
      says: "GET /openapi.json describes every endpoint",
      run: Effect.gen(function* () {
        const answer = yield* ask("/openapi.json")
        yield* expectStatus(answer, 200)
        for (const path of [
          "/namespaces",
          "/namespaces/{namespace}/deployments",
          "/namespaces/{namespace}/deployments/{deployment}/replica_count",
          "/namespaces/{namespace}/deployments/{deployment}/replica_count/{replica_count}",
          "/livez",
          "/readyz"
        ]) {
          yield* expect(answer.body.includes(`"${path}":`), `${path} is not in it`)
        }
      })
    }
  ]
}

const strangers = (scratch: Scratch): Checks => {
  const path = count(scratch.one, "nginx")
  const resources: ReadonlyArray<readonly [string, Question]> = [
    ["/namespaces", {}],
    [`/namespaces/${scratch.one}/deployments`, {}],
    [path, {}],
    [`${path}/1`, { method: "PUT" }],
    [`/namespaces/%zz/deployments`, {}]
  ]
  return [
    ...resources
      .filter(([target]) => !target.includes("%zz"))
      .map(([target, question]) => ({
        row: "401",
        says: `${question.method ?? "GET"} ${target} of a denied client: Unauthorized`,
        run: Effect.flatMap(ofDenied(target, question), (answer) => expectProblem(answer, 401, "Unauthorized"))
      })),
    ...resources.map(([target, question]) => ({
      row: "403",
      says: `${question.method ?? "GET"} ${target} without a certificate: Unidentified`,
      run: Effect.flatMap(ofNobody(target, question), (answer) => expectProblem(answer, 403, "Unidentified"))
    })),
    {
      row: "404",
      says: "an unknown path without a certificate: UnknownEndpoint, not Unidentified",
      run: Effect.flatMap(ofNobody("/nothing/%zz"), (answer) => expectProblem(answer, 404, "UnknownEndpoint"))
    },
    {
      row: "429",
      says: "requests without a certificate beyond the rate limit: TooManyRequests, with Retry-After",
      run: Effect.gen(function* () {
        for (let nth = 0; nth < 300; nth++) {
          const answer = yield* ofNobody("/namespaces")
          if (answer.status === 429) {
            yield* expectProblem(answer, 429, "TooManyRequests")
            return yield* expect(
              /^[1-9][0-9]*$/.test(String(answer.headers["retry-after"])),
              `Retry-After: ${String(answer.headers["retry-after"])}`
            )
          }
        }
        return yield* new LeftOut({
          message: `300 requests did not exceed ${serviceSettings.rateLimitUnidentified.name}`
        })
      })
    },
    ...[
      ["428", "PreconditionRequired: only a policy with requireIfMatch causes it"],
      ["500", "Internal: only a defect causes it"],
      ["503", "NotReady, ClusterUnavailable: only a start or an outage of the cluster causes them"]
    ].map(([row = "", says = ""]) => ({
      row,
      says,
      run: Effect.fail(new LeftOut({ message: "a client cannot cause it" }))
    }))
  ]
}

/** All checks, over these namespaces. */
export const all = (scratch: Scratch): Checks => {
  const { empty, one: first, two: second } = scratch
  return [
    ...transport,
    ...probes,
    {
      row: "1",
      says: "GET /namespaces lists the suite's namespaces, sorted",
      run: eventually(
        Effect.gen(function* () {
          const answer = yield* ask("/namespaces")
          yield* expectStatus(answer, 200)
          const names = /^\{"namespaces":\["([a-z0-9",-]+)"\]\}$/.exec(answer.body)?.[1]?.split('","') ?? []
          yield* expectSame("namespaces, sorted by code unit", names, names.toSorted())
          for (const name of [first, second, empty]) yield* expect(names.includes(name), `${name} is not in it`)
        }),
        scratch.patienceMillis
      )
    },
    read(scratch, "2", `/namespaces/${first}/deployments`, {
      namespace: first,
      deployments: ["kafka", "nginx", "resource.access"]
    }),
    read(scratch, "2", `/namespaces/${empty}/deployments`, { namespace: empty, deployments: [] }),
    read(scratch, "2", `/namespaces/${first.replace("e", "%65")}/deployments?a=b`, {
      namespace: first,
      deployments: ["kafka", "nginx", "resource.access"]
    }),
    everywhere(scratch, "2A", "/namespaces/ANY/deployments", [
      { namespace: empty, deployments: [] },
      { namespace: first, deployments: ["kafka", "nginx", "resource.access"] },
      { namespace: second, deployments: ["nginx"] }
    ]),
    read(scratch, "3", count(first, "nginx"), one(first, "nginx", 2)),
    read(scratch, "3", count(first, "resource.access"), one(first, "resource.access", 1)),
    read(scratch, "3A", count(first, "ANY"), {
      namespace: first,
      deployments: [
        { deployment: "kafka", replica_count: 3 },
        { deployment: "nginx", replica_count: 2 },
        { deployment: "resource.access", replica_count: 1 }
      ]
    }),
    everywhere(scratch, "3B", count("ANY", "ANY"), [
      { namespace: empty, deployments: [] },
      {
        namespace: first,
        deployments: [
          { deployment: "kafka", replica_count: 3 },
          { deployment: "nginx", replica_count: 2 },
          { deployment: "resource.access", replica_count: 1 }
        ]
      },
      { namespace: second, deployments: [{ deployment: "nginx", replica_count: 5 }] }
    ]),
    everywhere(scratch, "3C", count("ANY", "nginx"), [one(first, "nginx", 2), one(second, "nginx", 5)]),
    ...writes(scratch),
    ...conditionalWrites(scratch),
    ...conditionalReads(scratch),
    ...waits(scratch),
    ...streams(scratch),
    ...refusals(scratch),
    ...strangers(scratch)
  ]
}
