import { randomUUID } from "node:crypto"

const acceptable = /^[A-Za-z0-9._-]{1,128}$/

/** The id of a request: the caller's `X-Request-Id` if it is 1-128 characters of `[A-Za-z0-9._-]`, else a new UUID. */
export const requestId = (given: string | ReadonlyArray<string> | undefined): string =>
  typeof given === "string" && acceptable.test(given) ? given : randomUUID()
