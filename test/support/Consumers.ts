/** The programs of docs/examples, run as their readers run them, and what each of them has to do. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:https"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { demoSeed } from "../../src/embedded/Seed.ts"
import { eventually } from "./Eventually.ts"
import { linkPackages, root } from "./Example.ts"
import { send } from "./Https.ts"
import { kubeconfig } from "./Kubeconfig.ts"
import { file, serverPem } from "./Pki.ts"
import { freePort, listening } from "./Ports.ts"
import { demoSettings, type Instance, start, startCommand } from "./Process.ts"

/** A program of docs/examples, and the command that runs a file of it. */
export interface Consumer {
  readonly name: string
  readonly command: ReadonlyArray<string>
  /** The limit of silence in the text of the program, and a shorter one; none if its library has it. */
  readonly silence?: readonly [text: string, shorter: string]
}

/** A folder with these programs, which edits their text, and the packages that they import. */
const copied = (consumer: Consumer, edit: (text: string) => string) =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "kube-resource-api-consumer-"))
    cpSync(join(root, "docs/examples", consumer.name), join(folder, consumer.name))
    writeFileSync(join(folder, consumer.name), edit(readFileSync(join(folder, consumer.name), "utf8")))
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", private: true }))
    yield* linkPackages(folder, "effect", "@effect/platform-node")
    // The typed client, without the build of its package.
    const client = join(folder, "node_modules/kube-resource-api-client")
    mkdirSync(client, { recursive: true })
    writeFileSync(join(client, "package.json"), JSON.stringify({ type: "module", exports: "./src/client/Client.ts" }))
    symlinkSync(join(root, "src"), join(client, "src"))
    return join(folder, consumer.name)
  })

interface Running extends Instance {
  /** The lines that show a state. */
  readonly shown: () => ReadonlyArray<string>
}

/** Starts a program against the service at `port`. */
const started = (
  consumer: Consumer,
  port: number,
  words: ReadonlyArray<string>,
  edit: (text: string) => string = (text) => text
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.gen(function* () {
    const path = yield* copied(consumer, edit)
    const [program = "", ...options] = consumer.command
    const instance = yield* startCommand(program, [...options, path, ...words], {
      PATH: "/usr/bin:/bin",
      HOME: dirname(path),
      // The build cache of Go, shared by all programs.
      GOCACHE: join(root, ".dev/go-cache"),
      SERVICE_URL: `https://localhost:${port}`,
      CERTS: dirname(file("ca.crt"))
    })
    const shown = () =>
      instance
        .output()
        .split("\n")
        .filter((line) => line.startsWith("nginx has") || line.startsWith("{"))
    return { ...instance, shown }
  })

const replicas = (count: number) => `nginx has ${count} replicas`
const nginx = "/namespaces/personal/deployments/nginx/replica_count"

const put = (port: number, count: number) =>
  Effect.map(send(port, { client: "admin", method: "PUT", path: `${nginx}/${count}` }), ({ status }) =>
    assert.strictEqual(status, 200)
  )

/** The service on `port`, over the cluster of the test. */
const service = (port: number) =>
  Effect.gen(function* () {
    const { url } = yield* EmbeddedKube
    const instance = yield* start({
      ...demoSettings,
      PORT: String(port),
      KUBE_SOURCE: "kubeconfig",
      KUBECONFIG: kubeconfig(url, { token: "test" })
    })
    yield* instance.printed("Ready")
    return instance
  })

const cluster = Layer.unwrap(Effect.sync(() => EmbeddedKube.layer({ seed: demoSeed, tokens: ["test"] })))

interface Received {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly headers: IncomingHttpHeaders
}

type Answer = (response: ServerResponse<IncomingMessage>) => void

/** A server that answers the requests with these answers in turn, and does not answer further ones. */
const scripted = (...answers: ReadonlyArray<Answer>) =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    const server = createServer(serverPem(), ({ headers, method, url }, response) => {
      const answer = answers[received.length]
      received.push({ method, path: url, headers })
      answer?.(response)
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
    return { port: yield* listening(server), received }
  })

const json =
  (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer =>
  (response) => {
    const type = status < 300 ? "application/json" : "application/problem+json"
    response.writeHead(status, { "content-type": type, ...headers }).end(JSON.stringify(body))
  }

const problem = (status: number, code: string, more: Readonly<Record<string, unknown>> = {}, headers = {}) =>
  json(status, { type: `urn:kube-resource-api:problem:${code}`, status, code, detail: code, ...more }, headers)

const text = (...blocks: ReadonlyArray<string>) => blocks.map((block) => `${block}\n\n`).join("")

const stream =
  (body: string, after: (response: ServerResponse<IncomingMessage>) => void = () => {}): Answer =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(body, () => after(response))
  }

const snapshot = (tag: string, version: string, counts: Readonly<Record<string, number>>) => {
  const deployments = Object.entries(counts).map(([deployment, replica_count]) => ({ deployment, replica_count }))
  return `event: snapshot\nid: ${tag}\ndata: ${JSON.stringify({ namespace: "personal", deployments })}\n: version ${version}`
}

const change = (tag: string, version: string, ...items: ReadonlyArray<unknown>) =>
  `event: change\nid: ${tag}\ndata: ${JSON.stringify(items)}\n: version ${version}`

const ofNginx = { namespace: "personal", deployment: "nginx" }

const shows = ({ output, shown }: Running, last: string) =>
  eventually(shown, (lines) => assert.strictEqual(lines.at(-1), last, output()))

/** What the programs do together, over a running service. */
const together = (consumers: ReadonlyArray<Consumer>) => {
  it.live("poll, wait and stream show each state once, also after a restart of the service", () =>
    Effect.gen(function* () {
      const { cluster: kube } = yield* EmbeddedKube
      const port = yield* freePort
      const first = yield* service(port)
      const start = (...words: ReadonlyArray<string>) =>
        Effect.forEach(consumers, (consumer) => started(consumer, port, words))
      const counts = [...(yield* start("poll", "0.1")), ...(yield* start("wait"))]
      const streams = yield* start("stream")
      const line = (count: number) => `{"kafka":3,"nginx":${count},"resource-access":2}`
      const allShow = Effect.fnUntraced(function* (count: number) {
        for (const one of counts) yield* shows(one, replicas(count))
        for (const one of streams) yield* shows(one, line(count))
      })
      yield* allShow(12)
      yield* put(port, 38)
      yield* allShow(38)
      first.child.kill("SIGTERM")
      yield* first.exited
      yield* kube.scale("personal", "nginx", 40)
      yield* service(port)
      yield* allShow(40)
      yield* put(port, 41)
      yield* allShow(41)
      for (const one of counts) assert.deepStrictEqual(one.shown(), [12, 38, 40, 41].map(replicas), one.output())
      for (const one of streams) assert.deepStrictEqual(one.shown(), [12, 38, 40, 41].map(line), one.output())
    }).pipe(Effect.scoped, Effect.provide(cluster))
  )

  it.live("all that add at once count, two of each program", () =>
    Effect.gen(function* () {
      const { snapshot } = yield* EmbeddedKube
      const port = yield* freePort
      yield* service(port)
      const adding = yield* Effect.forEach([...consumers, ...consumers], (consumer) =>
        started(consumer, port, ["add", "1"])
      )
      for (const one of adding) assert.strictEqual(yield* one.exited, 0, one.output())
      const counts = adding.map((_, index) => 13 + index)
      assert.sameMembers(
        adding.flatMap((one) => one.shown()),
        counts.map(replicas)
      )
      const { deployments } = yield* snapshot
      assert.strictEqual(deployments.find(({ name }) => name === "nginx")?.replicas, counts.at(-1))
    }).pipe(Effect.scoped, Effect.provide(cluster))
  )
}

/** What one program does when the answers are these. */
const alone = (consumer: Consumer) => {
  describe.concurrent(consumer.name, () => {
    it.live("add starts again from the count of another writer", () =>
      Effect.gen(function* () {
        const { port, received } = yield* scripted(
          json(200, { ...ofNginx, replica_count: 12 }, { etag: '"12"' }),
          json(200, {}, { "x-already-set": "true" }),
          problem(412, "PreconditionFailed", { current: 20 }),
          json(200, {})
        )
        const adding = yield* started(consumer, port, ["add", "1"])
        assert.strictEqual(yield* adding.exited, 0, adding.output())
        assert.deepStrictEqual(adding.shown(), [replicas(21)])
        const writes = received.slice(1).map(({ headers, method, path }) => [method, path, headers["if-match"]])
        assert.deepStrictEqual(writes, [
          ["PUT", `${nginx}/13`, '"12"'],
          ["PUT", `${nginx}/14`, '"13"'],
          ["PUT", `${nginx}/21`, '"20"']
        ])
      }).pipe(Effect.scoped)
    )

    it.live("add leaves a write of unknown outcome to its caller", () =>
      Effect.gen(function* () {
        const { port, received } = yield* scripted(
          json(200, { ...ofNginx, replica_count: 12 }, { etag: '"12"' }),
          problem(408, "RequestTimeout")
        )
        const adding = yield* started(consumer, port, ["add", "1"])
        assert.notStrictEqual(yield* adding.exited, 0, adding.output())
        assert.deepStrictEqual(adding.shown(), [])
        assert.strictEqual(received.length, 2)
      }).pipe(Effect.scoped)
    )

    it.live("a stream applies changes, resumes from the last complete event, and ends when it is denied", () =>
      Effect.gen(function* () {
        const { port, received } = yield* scripted(
          problem(503, "NotReady", {}, { "retry-after": "1" }),
          stream(
            text(
              "retry: 10",
              ":",
              snapshot('"a"', "7.3", { kafka: 3, nginx: 12 }),
              change('"b"', "8.3", { ...ofNginx, replica_count: 38 }),
              change(
                '"c"',
                "9.3",
                { namespace: "personal", deployment: "kafka", deleted: true },
                { namespace: "personal", deployment: "added", replica_count: 0 }
              ),
              'event: end\ndata: {"reason":"shutdown"}'
            ),
            (response) => response.end()
          ),
          stream(
            `${text("retry: 10")}${change('"d"', "10.3", { ...ofNginx, replica_count: 1 }).slice(0, -20)}`,
            (response) => response.destroy()
          ),
          stream(
            text(
              "retry: 10",
              change('"e"', "11.3", { ...ofNginx, replica_count: 2 }),
              'event: end\ndata: {"reason":"permission"}'
            ),
            (response) => response.end()
          ),
          problem(401, "Unauthorized")
        )
        const following = yield* started(consumer, port, ["stream"])
        assert.notStrictEqual(yield* following.exited, 0, following.output())
        assert.deepStrictEqual(
          following.shown(),
          ['{"kafka":3,"nginx":12}', '{"kafka":3,"nginx":38}', '{"added":0,"nginx":38}', '{"added":0,"nginx":2}'],
          following.output()
        )
        const resumed = received.map(({ headers }) => [headers["last-event-id"], headers["last-event-version"]])
        assert.deepStrictEqual(resumed, [
          [undefined, undefined],
          [undefined, undefined],
          ['"c"', "9.3"],
          ['"c"', "9.3"],
          ['"e"', "11.3"]
        ])
      }).pipe(Effect.scoped)
    )

    if (consumer.silence !== undefined) {
      const [silence, shorter] = consumer.silence
      it.live("a stream reconnects when it hears nothing for the time of three comments", () =>
        Effect.gen(function* () {
          const { port, received } = yield* scripted(
            stream(text("retry: 10", snapshot('"a"', "7.3", { nginx: 12 }))),
            stream(text("retry: 10", change('"b"', "8.3", { ...ofNginx, replica_count: 38 })))
          )
          const following = yield* started(consumer, port, ["stream"], (text) => {
            assert.include(text, silence)
            return text.replace(silence, shorter)
          })
          yield* shows(following, '{"nginx":38}')
          assert.deepStrictEqual(following.shown(), ['{"nginx":12}', '{"nginx":38}'])
          assert.strictEqual(received[1]?.headers["last-event-id"], '"a"')
        }).pipe(Effect.scoped)
      )
    }
  })
}

/** The behaviour of programs: of their reads over a restart, of their streams and of their updates. */
export const behave = (...consumers: ReadonlyArray<Consumer>) => {
  describe.concurrent("the programs", () => together(consumers))
  for (const consumer of consumers) alone(consumer)
}
