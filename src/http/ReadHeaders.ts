/** The header fields of the responses to reads, other than the request id. */

/** The fields of a 200 and of a 304. Consumers revalidate before each use, and shared caches do not store the response. */
export const readHeaders = (etag: string, age: number) => ({
  age: String(age),
  "cache-control": "private, no-cache",
  etag,
  vary: "accept"
})

/** The fields of an event stream. `X-Accel-Buffering` stops nginx from buffering it. */
export const streamHeaders = (age: number) => ({
  age: String(age),
  "cache-control": "private, no-cache",
  "content-type": "text/event-stream",
  vary: "accept",
  "x-accel-buffering": "no"
})

/** The field of a response that has waited. */
export const waited = (seconds: number) => ({ "preference-applied": `wait=${seconds}` })
