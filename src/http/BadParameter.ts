import type { HttpApiError } from "effect/http-api"

const longest = 300

/** Says which parameter of a request could not be accepted and what was expected of it, in at most 300 characters. */
export const describeSchemaError = (error: HttpApiError.HttpApiSchemaError): string => {
  const text = error.cause.message.replaceAll(/\s+/g, " ")
  return text.length > longest ? `${text.slice(0, longest - 1)}…` : text
}
