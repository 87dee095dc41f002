import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Ref } from "effect"
import { X509Certificate } from "node:crypto"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { authority, type Issued } from "../support/Authority.ts"
import { eventually } from "../support/Eventually.ts"
import { send } from "../support/Https.ts"
import type { Party } from "../support/Pki.ts"
import { demoSettings, start } from "../support/Process.ts"
import { ask, tlsConnection } from "../support/Sockets.ts"
import { TestService } from "../support/TestService.ts"

const rotations = 50

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "rotation-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** The contents of the TLS files. */
interface Version {
  readonly server: Issued
  readonly ca: string
}

const names = { "tls.crt": "cert", "tls.key": "key" } as const

const writeTo = (path: string, { ca, server }: Version) => {
  for (const [name, part] of Object.entries(names)) writeFileSync(join(path, name), server[part])
  writeFileSync(join(path, "ca.crt"), ca)
}

/** Replaces all files at once by a symbolic link, as Kubernetes does, and removes the old folder. */
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

/** Writes one file after the other, as a script does: in between, the files do not match. */
const copyIn = (path: string) => (version: Version) => writeTo(path, version)

/** The serial number of the certificate that the server presents. */
const served = (port: number, client: Party) =>
  Effect.scoped(Effect.map(tlsConnection({ port }, client), (socket) => socket.getPeerX509Certificate()?.serialNumber))

describe("rotation of certificates under load", () => {
  for (const [how, rotator] of [
    ["by a symbolic link, as Kubernetes does", swapIn],
    ["by writing the files in place", copyIn]
  ] as const) {
    it.live(`${rotations} rotations ${how}: no request fails, and the server presents each new certificate`, () =>
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
          // The client authorities change with every fifth rotation.
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
        const kept = yield* Effect.replicateEffect(tlsConnection({ port }, client), 4)
        const load = yield* Effect.forkChild(
          Effect.all(
            [
              // Each client keeps one connection through all rotations.
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

        const rotation = Effect.gen(function* () {
          for (let at = 1; at <= rotations; at++) {
            const { serialNumber } = new X509Certificate((yield* next(at)).cert)
            yield* eventually(served(port, client), (serial) => serial === serialNumber)
          }
        })
        // A failed request ends the load and the test.
        yield* Effect.raceFirst(rotation, Fiber.join(load))
        yield* Fiber.interrupt(load)
        const counts = yield* Ref.get(answered)
        assert.isAbove(counts.kept, rotations)
        assert.isAbove(counts.reconnected, rotations)
      })
    )
  }

  it.live("the program logs that it uses new files, and which file it cannot use", () =>
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
      // Valid for thirty days: the warning starts in the last quarter at most.
      assert.notInclude(instance.output(), "expires soon")
      const next = yield* servers.issue({ ...request, days: 1 })
      rotate({ server: next, ca: servers.cert }, 1)
      yield* instance.printed("The TLS files have changed and are in use")
      const { serialNumber } = new X509Certificate(next.cert)
      yield* eventually(served(port, client), (serial) => serial === serialNumber)
      rotate({ server: { ...next, key: "" }, ca: servers.cert }, 2)
      yield* instance.printed("cannot be used; the previous files stay in use: TLS_KEY_FILE=")
      assert.strictEqual(yield* served(port, client), serialNumber)
    })
  )
})
