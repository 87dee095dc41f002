import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { HttpApiBuilder, OpenApi } from "effect/http-api"
import { Api } from "./Api.ts"

/** `/openapi.json`, rendered once. */
export const descriptionHandlers = HttpApiBuilder.group(Api, "description", (handlers) => {
  const document = HttpServerResponse.jsonUnsafe(OpenApi.fromApi(Api))
  return handlers.handleAll({ openapi: () => Effect.succeed(document) })
})
