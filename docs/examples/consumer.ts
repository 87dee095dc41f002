/**
 * Reads and scales a deployment through kube-resource-api, with nothing but Node.
 *
 * consumer.ts poll [SECONDS]   prints the count whenever a poll finds another one
 * consumer.ts wait             prints each count, as soon as it changes
 * consumer.ts stream           prints all counts of the namespace after each change
 * consumer.ts add N            adds N replicas
 */
import { readFileSync } from "node:fs"
import type { IncomingHttpHeaders, IncomingMessage } from "node:http"
import { Agent, request as httpsRequest } from "node:https"
import { setTimeout as sleep } from "node:timers/promises"

interface Count {
  readonly replica_count: number
}

interface Counts {
  readonly deployments: ReadonlyArray<{ readonly deployment: string; readonly replica_count: number }>
}

type Change = { readonly deployment: string } & ({ readonly replica_count: number } | { readonly deleted: true })

/** The body of an error (application/problem+json). `current` is in that of a 412. */
interface Problem {
  readonly code: string
  readonly detail: string
  readonly current?: number
}

class ProblemError extends Error {
  readonly status: number
  constructor(status: number, { code, detail }: Partial<Problem>) {
    super(`${status} ${code}: ${detail}`)
    this.status = status
  }
}

const url = process.env["SERVICE_URL"] ?? "https://localhost:8443"
const certs = process.env["CERTS"] ?? ".dev/pki"
const pem = (name: string) => readFileSync(`${certs}/${name}`)
const agent = new Agent({ keepAlive: true, ca: pem("ca.crt"), cert: pem("admin.crt"), key: pem("admin.key") })

const counts = "/namespaces/personal/deployments/ANY/replica_count"
const count = "/namespaces/personal/deployments/nginx/replica_count"

/** The service sends at least a comment every 15 seconds. */
const longestSilence = 45_000

/** Of other errors the caller, its certificate or its permissions are the cause: no retry mends them. */
const isTransient = (status: number) => status === 408 || status === 429 || status >= 500

/** Pauses exponentially, with jitter, and at least as long as the service asks for. */
const backOff = (attempt: number, retryAfterSeconds = 0, first = 0.5) =>
  sleep(Math.max(Math.min(30, first * 2 ** attempt) * (0.5 + Math.random() / 2), retryAfterSeconds) * 1000)

const retryAfter = (headers: IncomingHttpHeaders) => Number(headers["retry-after"] ?? 0)

interface Options {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** Sends a request. Its response is there when its head is. */
const open = (path: string, options: Options): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    httpsRequest(`${url}${path}`, { agent, ...options }, resolve)
      .on("error", reject)
      .end()
  })

interface Response {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

const withBody = async (response: IncomingMessage): Promise<Response> => {
  let text = ""
  for await (const chunk of response.setEncoding("utf8")) text += chunk
  return { status: response.statusCode ?? 0, headers: response.headers, text }
}

/** A proxy may answer with something else than JSON. */
const problemOf = ({ headers, text }: Response): Partial<Problem> =>
  headers["content-type"] === "application/problem+json" ? JSON.parse(text) : {}

/** A read changes nothing, so that it is tried until the service answers. */
const read = async (path: string, headers: Readonly<Record<string, string>>, waitSeconds = 0): Promise<Response> => {
  for (let attempt = 0; ; attempt++) {
    let pause = 0
    try {
      const signal = AbortSignal.timeout((waitSeconds + 10) * 1000)
      const response = await withBody(await open(path, { headers, signal }))
      if (response.status === 200 || response.status === 304) return response
      if (!isTransient(response.status)) throw new ProblemError(response.status, problemOf(response))
      pause = retryAfter(response.headers)
    } catch (error) {
      if (error instanceof ProblemError) throw error
      console.error("retry:", error)
    }
    await backOff(attempt, pause)
  }
}

/** The count at first, and whenever a poll finds another one. */
async function* poll(seconds: number): AsyncGenerator<number> {
  for (let etag: string | undefined; ; await sleep(seconds * 1000)) {
    const response = await read(count, etag === undefined ? {} : { "If-None-Match": etag })
    if (response.status === 304) continue
    etag = response.headers.etag
    const body: Count = JSON.parse(response.text)
    yield body.replica_count
  }
}

/** The count at first, and each time it has changed. */
async function* wait(seconds = 30): AsyncGenerator<number> {
  let etag: string | undefined
  for (;;) {
    const asked = performance.now()
    const response = await read(
      count,
      etag === undefined ? {} : { "If-None-Match": etag, Prefer: `wait=${seconds}` },
      seconds
    )
    if (response.status === 200) {
      etag = response.headers.etag
      const body: Count = JSON.parse(response.text)
      yield body.replica_count
    } else if (performance.now() - asked < seconds * 500) {
      // The instance shuts down, and answers at once.
      await backOff(1)
    }
  }
}

interface Event {
  event?: string
  id?: string
  data?: string
  version?: string
  retry?: string
}

async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  let rest = ""
  for await (const chunk of response.setEncoding("utf8")) {
    const all = `${rest}${chunk}`.split("\n")
    rest = all.pop() ?? ""
    yield* all
  }
}

/** The events of a response. A comment is an empty one. */
async function* events(response: IncomingMessage): AsyncGenerator<Event> {
  let event: Event = {}
  for await (const line of lines(response)) {
    const [, name = "", value = ""] = /^([^:]*): ?(.*)$/.exec(line) ?? []
    if (line === "") {
      yield event
      event = {}
    } else if (name === "event" || name === "id" || name === "data" || name === "retry") {
      event[name] = value
    } else if (name === "" && value.startsWith("version ")) {
      event.version = value.slice("version ".length)
    }
  }
}

/** All counts of the namespace, at first and after each change, over as many connections as it takes. */
async function* stream(): AsyncGenerator<ReadonlyMap<string, number>> {
  let held = new Map<string, number>()
  let seen: Record<string, string> = {}
  let pause = 0
  for (let attempt = 0; ; attempt++) {
    const watchdog = new AbortController()
    const timer = setTimeout(() => watchdog.abort(new Error("silent for 45 s")), longestSilence)
    try {
      const headers = { Accept: "text/event-stream", ...seen }
      const response = await open(counts, { headers, signal: watchdog.signal })
      const status = response.statusCode ?? 0
      if (status !== 200) {
        pause = retryAfter(response.headers)
        const problem = new ProblemError(status, problemOf(await withBody(response)))
        if (!isTransient(status)) throw problem
        console.error("reconnect:", problem.message)
      } else {
        response.on("data", () => timer.refresh())
        for await (const { data = "", event, id, retry, version } of events(response)) {
          if (event === "end") console.error("stream ended:", data)
          else if (retry !== undefined) pause = Number(retry) / 1000
          else attempt = 0
          if (event === "snapshot") {
            const { deployments }: Counts = JSON.parse(data)
            held = new Map(deployments.map(({ deployment, replica_count }) => [deployment, replica_count]))
          } else if (event === "change") {
            const changes: ReadonlyArray<Change> = JSON.parse(data)
            for (const change of changes) {
              if ("deleted" in change) held.delete(change.deployment)
              else held.set(change.deployment, change.replica_count)
            }
          } else continue
          seen = { "Last-Event-ID": id ?? "", ...(version === undefined ? {} : { "Last-Event-Version": version }) }
          yield new Map(held)
        }
      }
    } catch (error) {
      if (error instanceof ProblemError) throw error
      console.error("reconnect:", error)
    } finally {
      clearTimeout(timer)
      watchdog.abort()
    }
    await backOff(attempt, pause)
  }
}

/** Adds to the count. A write of others in between is neither lost nor overwritten. */
const add = async (more: number): Promise<number> => {
  const body: Count = JSON.parse((await read(count, {})).text)
  let current = body.replica_count
  for (let attempt = 0; ; attempt++) {
    const wanted = current + more
    const headers = { "If-Match": `"${current}"` }
    const signal = AbortSignal.timeout(20_000)
    const response = await withBody(await open(`${count}/${wanted}`, { method: "PUT", headers, signal }))
    const { status } = response
    const problem = status === 200 ? {} : problemOf(response)
    if (status === 200 && response.headers["x-already-set"] === undefined) return wanted
    // Another has set the same count. This one has added nothing yet.
    if (status === 200) current = wanted
    else if (status === 412 && problem.current !== undefined) current = problem.current
    // After 408, 500 and 503 the write may have been carried out. The caller reads the count and decides.
    else if (status !== 429) throw new ProblemError(status, problem)
    if (attempt === 9) throw new ProblemError(status, problem)
    await backOff(attempt, retryAfter(response.headers), 0.05)
  }
}

const [command, word] = process.argv.slice(2)
if (command === "poll") {
  for await (const replicas of poll(Number(word ?? 5))) console.log(`nginx has ${replicas} replicas`)
} else if (command === "wait") {
  for await (const replicas of wait()) console.log(`nginx has ${replicas} replicas`)
} else if (command === "stream") {
  for await (const all of stream()) console.log(JSON.stringify(Object.fromEntries([...all].sort())))
} else if (command === "add") {
  console.log(`nginx has ${await add(Number(word))} replicas`)
  agent.destroy()
} else {
  console.error("Usage: consumer.ts poll [SECONDS] | wait | stream | add N")
  process.exitCode = 1
}
