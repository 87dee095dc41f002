import { type Duration, Effect } from "effect"
import { IncomingMessage, ServerResponse } from "node:http"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Authorization } from "../authorization/Authorization.ts"
import { ClusterCache } from "../cache/ClusterCache.ts"
import { Api } from "../contract/Api.ts"
import { alreadySetField } from "../contract/Preconditions.ts"
import { BadRequest, NotFound, NotReady, type TooManyRequests } from "../contract/Problems.ts"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Audit } from "../observability/Audit.ts"
import { ResponseBytes } from "../limits/ResponseBytes.ts"
import * as CachedRead from "./CachedRead.ts"
import {
  acceptsStream,
  malformedTags,
  matchesNone,
  readHeaders,
  streamHeaders,
  waited,
  waitSeconds
} from "../contract/ReadFields.ts"
import { resumption } from "./Conditions.ts"
import { isCutOff, sendHead } from "./held/EventStream.ts"
import type { HeldProblem, HeldRequest } from "./held/HeldResponse.ts"
import { HeldResponses } from "./held/HeldResponses.ts"
import { Lifecycle } from "./Lifecycle.ts"
import { RequestContext } from "../identity/RequestContext.ts"
import * as Permission from "./Permission.ts"
import * as ReplicaCountWrite from "./ReplicaCountWrite.ts"

/** The error before the first full sync. */
export const notSynced = new NotReady({ detail: "The first full sync with the cluster is not done yet." })

/** Node's request and response. The server speaks HTTP/1.1 alone. */
const exchange = Effect.flatMap(HttpServerRequest.HttpServerRequest, (incoming) => {
  const request = NodeHttpServerRequest.toIncomingMessage(incoming)
  const response = NodeHttpServerRequest.toServerResponse(incoming)
  return request instanceof IncomingMessage && response instanceof ServerResponse
    ? Effect.succeed({ request, response })
    : Effect.die(new Error("The request is not HTTP/1.1."))
})

const badTags = new BadRequest({ detail: malformedTags })

/** The handlers of the cluster's resources. A write that takes longer than `serveTimeout` fails with `RequestTimeout`. */
export const layer = (serveTimeout: Duration.Duration) =>
  HttpApiBuilder.group(
    Api,
    "resources",
    Effect.fnUntraced(function* (handlers) {
      const audit = yield* Audit
      const authorization = yield* Authorization
      const cache = yield* ClusterCache
      const heldResponses = yield* HeldResponses
      const lifecycle = yield* Lifecycle
      const responseBytes = yield* ResponseBytes
      const write = yield* ReplicaCountWrite.make(serveTimeout)

      const shown = Effect.fnUntraced(function* ({ find, missing, tag }: CachedRead.CachedRead, user: string) {
        const view = cache.current()
        const etag = tag(view)
        const body = find(view)
        if (etag === undefined || body === undefined) return yield* new NotFound({ detail: missing() })
        const options = { contentType: "application/json", headers: readHeaders(etag, cache.age()) }
        if (typeof body === "string") return HttpServerResponse.text(body, options)
        const { response } = yield* exchange
        if (!responseBytes.take(response, user, body.length)) return yield* responseBytes.refuse()
        return HttpServerResponse.uint8Array(body, options)
      })

      const unchanged = (etag: string) =>
        HttpServerResponse.empty({ status: 304, headers: readHeaders(etag, cache.age()) })

      const waiting = Effect.fnUntraced(function* (held: HeldRequest, etag: string, seconds: number) {
        if (seconds > 0 && !lifecycle.isShuttingDown()) {
          yield* Effect.callback<void, HeldProblem | TooManyRequests>((resume) => {
            const cancel = heldResponses.wait(held, etag, seconds, (problem) =>
              resume(problem === undefined ? Effect.void : Effect.fail(problem))
            )
            if (typeof cancel === "function") return Effect.sync(cancel)
            resume(cancel === "followed" ? Effect.void : Effect.fail(cancel))
            return undefined
          })
        }
        const current = held.read.tag(cache.current())
        return HttpServerResponse.setHeaders(
          current === etag ? unchanged(etag) : yield* shown(held.read, held.identity.user),
          waited(seconds)
        )
      })

      const streamed = Effect.fnUntraced(function* (held: HeldRequest) {
        const { request, response } = held
        const { id } = yield* RequestContext
        const headers = streamHeaders(cache.age())
        const bytes = yield* Effect.callback<number, BadRequest | TooManyRequests>((resume) => {
          const cancel = heldResponses.stream(
            held,
            resumption(request.headers),
            () => sendHead(response, { ...headers, "x-request-id": id }),
            (end, bytes) => resume(isCutOff(end) ? Effect.interrupt : Effect.succeed(bytes))
          )
          if (typeof cancel === "function") return Effect.sync(cancel)
          resume(Effect.fail(cancel))
          return undefined
        })
        // The stream has already been sent. This response is only for the log and the metrics.
        return HttpServerResponse.raw(undefined, { headers, contentLength: bytes })
      })

      const answer = Effect.fnUntraced(function* (read: CachedRead.CachedRead) {
        const { request, response } = yield* exchange
        const { headers, method } = request
        const isStream = method === "GET" && acceptsStream(headers.accept)
        const ifNoneMatch = isStream ? undefined : headers["if-none-match"]
        // Malformed tags are an error in any state of the resource.
        if (ifNoneMatch !== undefined && matchesNone(ifNoneMatch, "") === undefined) return yield* badTags
        const identity = yield* Permission.require(authorization, read.access)
        if (!cache.isSynced()) return yield* notSynced
        const etag = read.tag(cache.current())
        if (etag === undefined) return yield* new NotFound({ detail: read.missing() })
        const held = { request, response, identity, read }
        if (isStream) return yield* streamed(held)
        if (ifNoneMatch === undefined || matchesNone(ifNoneMatch, etag) !== true) {
          return yield* shown(read, identity.user)
        }
        const seconds = waitSeconds(headers["prefer"], heldResponses.maxWaitSeconds)
        return seconds === undefined ? unchanged(etag) : yield* waiting(held, etag, seconds)
      })

      return handlers.handleAll({
        listNamespaces: () => answer(CachedRead.listNamespaces),
        listDeployments: ({ params }) => answer(CachedRead.listDeployments(params)),
        listAllDeployments: () => answer(CachedRead.listAllDeployments),
        getReplicaCount: ({ params }) => answer(CachedRead.getReplicaCount(params)),
        listReplicaCounts: ({ params }) => answer(CachedRead.listReplicaCounts(params)),
        listAllReplicaCounts: () => answer(CachedRead.listAllReplicaCounts),
        findReplicaCounts: ({ params }) => answer(CachedRead.findReplicaCounts(params)),
        setReplicaCount: ({ headers, params: { deployment, namespace, replica_count: replicas }, query }) =>
          Effect.gen(function* () {
            const precondition = headers["if-match"]
            yield* Permission.requireSet(
              authorization,
              { verb: "set", resource: "replica_count", namespace, deployment, replicas },
              precondition
            )
            if (!cache.isSynced()) return yield* notSynced
            yield* audit.admit
            const alreadySet = yield* write({ namespace, name: deployment }, replicas, {
              precondition,
              dryRun: query.dryRun !== undefined
            })
            return alreadySet ? HttpServerResponse.jsonUnsafe({}, { headers: { [alreadySetField]: "true" } }) : {}
          })
      })
    })
  )
