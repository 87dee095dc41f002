import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { EmbeddedKube } from "../../src/embedded/EmbeddedKube.ts"
import { authority, type Issued } from "./Authority.ts"
import { eventually } from "./Eventually.ts"
import type { Party } from "./Pki.ts"
import { tlsConnection } from "./Sockets.ts"
import { type Overrides, TestService } from "./TestService.ts"

/** The contents of the files that client certificates are verified against. */
export interface Files {
  readonly ca: string
  readonly crl?: string
}

/** A service whose TLS files the test can change. An authority of its own issued the server certificate. */
export const service = Effect.fnUntraced(function* (first: Files, overrides: Overrides = {}) {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "trust-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )
  const path = (name: string) => join(folder, name)
  const root = yield* authority("server authority")
  const server = yield* root.issue({ subject: "/CN=localhost", usage: "serverAuth", alternativeNames: "DNS:localhost" })
  const write = (files: Files) => {
    writeFileSync(path("ca.crt"), files.ca)
    if (files.crl !== undefined) writeFileSync(path("list.crl"), files.crl)
  }
  write(first)
  writeFileSync(path("tls.crt"), server.cert)
  writeFileSync(path("tls.key"), server.key)
  const services = yield* Layer.build(
    TestService.layer({
      tlsCertFile: path("tls.crt"),
      tlsKeyFile: path("tls.key"),
      tlsClientCaFile: path("ca.crt"),
      ...(first.crl === undefined ? {} : { tlsCrlFile: path("list.crl") }),
      reload: { settle: "20 millis" },
      ...overrides
    })
  )
  const { port, tls } = yield* Effect.provide(TestService, services)
  const kube = yield* Effect.provide(EmbeddedKube, services)
  /** Writes the files and waits until they are in use. */
  const change = Effect.fnUntraced(function* (files: Files) {
    const before = tls.current()
    yield* Effect.sync(() => write(files))
    yield* eventually(tls.current, (now) => now !== before)
  })
  const as = (client: Issued): Party => ({ ...client, ca: root.cert })
  return {
    port,
    kube,
    change,
    as,
    connect: (client: Issued, session?: Buffer) => tlsConnection({ port }, as(client), session)
  }
})
