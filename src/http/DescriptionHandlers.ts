import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import { Api } from "../contract/Api.ts"

/** `/openapi.json` with what `described` says, rendered once. */
export const descriptionHandlers = (described: OpenApi.OpenAPISpec) =>
  HttpApiBuilder.group(Api, "description", (handlers) => {
    const document = HttpServerResponse.jsonUnsafe(described)
    return handlers.handleAll({ openapi: () => Effect.succeed(document) })
  })
