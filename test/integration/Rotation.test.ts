import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Ref } from "effect"
import { X509Certificate } from "node:crypto"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { authority, type Issued } from "../support/Authority.ts"
import { ask, rawConnection, send } from "../support/Https.ts"
import type { Party } from "../support/Pki.ts"
import { demoSettings, start } from "../support/Process.ts"
import { TestService } from "../support/TestService.ts"

const rotations = 50

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rotation-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** One state of the TLS files. */
interface Version {
  readonly server: Issued
  readonly ca: string
}

const names = { "tls.crt": "cert", "tls.key": "key" } as const

const writeTo = (path: string, { ca, server }: Version) => {
  for (const [name, part] of Object.entries(names)) writeFileSync(join(path, name), server[part])
  writeFileSync(join(path, "ca.crt"), ca)
}

/** Swaps all files by the one symbolic link that Kubernetes replaces, and takes away what it led to. */
const swapIn = (path: string) => {
  let current: string | undefined
  return (version: Version, at: number) => {
    const next = `..version-${at}`
    mkdirSync(join(path, next))
    writeTo(join(path, next), version)
    symlinkSync(next, join(path, "..data_tmp"))
    renameSync(join(path, "..data_tmp"), join(path, "..data"))
    if (current === undefined) {
      for (const name of [...Object.keys(names), "ca.crt"]) symlinkSync(join("..data", name), join(path, name))
    } else rmSync(join(path, current), { recursive: true })
    current = next
  }
}

/** Writes the files one after the other, as a script would: what is read in between does not go together. */
const copyIn = (path: string) => (version: Version) => writeTo(path, version)

describe("certificates that are rotated under load", () => {
  for (const [how, rotator] of [
    ["by Kubernetes' symbolic link", swapIn],
    ["by files written in place", copyIn]
  ] as const) {
    it.live(`${rotations} times ${how}: no request fails, and the new certificate is the one served`, () =>
      Effect.gen(function* () {
        const path = yield* folder
        const rotate = rotator(path)
        const [servers, clients, others] = yield* Effect.all([
          authority("servers"),
          authority("clients"),
          authority("others")
        ])
        const client: Party = { ...(yield* clients.issue({ subject: "/CN=client" })), ca: servers.cert }
        const next = Effect.fnUntraced(function* (at: number) {
          const server = yield* servers.issue({
            subject: `/CN=localhost/O=rotation ${at}`,
            usage: "serverAuth",
            alternativeNames: "DNS:localhost"
          })
          // Every fifth time the clients' authorities change as well.
          rotate({ server, ca: at % 10 < 5 ? clients.cert : clients.cert + others.cert }, at)
          return server
        })
        yield* next(0)
        const services = yield* Layer.build(
          TestService.layer({
            tlsCertFile: join(path, "tls.crt"),
            tlsKeyFile: join(path, "tls.key"),
            tlsClientCaFile: join(path, "ca.crt"),
            reload: { settle: "20 millis" }
          })
        )
        const { port } = yield* Effect.provide(TestService, services)

        const answered = yield* Ref.make({ kept: 0, reconnected: 0 })
        const counted = (kind: "kept" | "reconnected", status: number) =>
          status === 200
            ? Ref.update(answered, (counts) => ({ ...counts, [kind]: counts[kind] + 1 }))
            : Effect.fail(new Error(`answered ${status}`))
        const kept = yield* Effect.replicateEffect(rawConnection(port, client), 4)
        const load = yield* Effect.forkChild(
          Effect.all(
            [
              // Each on one connection from the first rotation to the last.
              ...kept.map((socket) =>
                Effect.forever(Effect.flatMap(ask(socket, "/namespaces"), ({ status }) => counted("kept", status)))
              ),
              ...Array.from({ length: 2 }, () =>
                Effect.forever(
                  Effect.flatMap(send(port, { client, path: "/namespaces" }), ({ status }) =>
                    counted("reconnected", status)
                  )
                )
              )
            ],
            { concurrency: "unbounded", discard: true }
          )
        )

        const served = Effect.scoped(
          Effect.map(rawConnection(port, client), (socket) => socket.getPeerX509Certificate()?.serialNumber)
        )
        const rotation = Effect.gen(function* () {
          for (let at = 1; at <= rotations; at++) {
            const { serialNumber } = new X509Certificate((yield* next(at)).cert)
            const arrived: Effect.Effect<void, Error> = Effect.flatMap(served, (serial) =>
              serial === serialNumber ? Effect.void : Effect.andThen(Effect.sleep(5), arrived)
            )
            yield* arrived
          }
        })
        // A request that fails ends the load, and with it the test.
        yield* Effect.raceFirst(rotation, Fiber.join(load))
        yield* Fiber.interrupt(load)
        const counts = yield* Ref.get(answered)
        assert.isAbove(counts.kept, rotations)
        assert.isAbove(counts.reconnected, rotations)
      })
    )
  }

  it.live("of the program itself, which says so in its log", () =>
    Effect.gen(function* () {
      const path = yield* folder
      const servers = yield* authority("servers")
      const request = { subject: "/CN=localhost", usage: "serverAuth", alternativeNames: "DNS:localhost" } as const
      const client: Party = { ...(yield* servers.issue({ subject: "/CN=client" })), ca: servers.cert }
      const rotate = swapIn(path)
      rotate({ server: yield* servers.issue(request), ca: servers.cert }, 0)
      const instance = yield* start({
        ...demoSettings,
        TLS_CERT_FILE: join(path, "tls.crt"),
        TLS_KEY_FILE: join(path, "tls.key"),
        TLS_CLIENT_CA_FILE: join(path, "ca.crt"),
        TLS_EXPIRY_WARNING: "40d"
      })
      const port = yield* instance.port
      // Issued for thirty days, of which the warning takes no more than the last quarter.
      assert.notInclude(instance.output(), "expires soon")
      const next = yield* servers.issue({ ...request, days: 1 })
      rotate({ server: next, ca: servers.cert }, 1)
      yield* instance.printed("The TLS files have changed and are in use")
      const served: Effect.Effect<void, Error> = Effect.flatMap(
        Effect.scoped(Effect.map(rawConnection(port, client), (socket) => socket.getPeerX509Certificate())),
        (certificate) =>
          certificate?.serialNumber === new X509Certificate(next.cert).serialNumber
            ? Effect.void
            : Effect.andThen(Effect.sleep(5), served)
      )
      yield* served
      rotate({ server: { ...next, key: "" }, ca: servers.cert }, 2)
      yield* instance.printed("cannot be used; the previous files stay in use: TLS_KEY_FILE=")
      yield* served
    })
  )
})
