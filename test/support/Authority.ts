import { Data, Effect, type Scope } from "effect"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { X509Certificate } from "node:crypto"

/** A certificate and its private key, both PEM; `cert` may be a chain. */
export interface Issued {
  readonly cert: string
  readonly key: string
}

/** The contents of a certificate. */
export interface Request {
  /** In openssl's notation: `/O=group/CN=user`. */
  readonly subject: string
  readonly usage?: "clientAuth" | "serverAuth"
  /** In openssl's notation: `DNS:localhost,URI:spiffe://a/b`. */
  readonly alternativeNames?: string
  readonly days?: number
}

/** The contents of a revocation list. */
export interface Revocations {
  /** Certificates, or serial numbers in hexadecimal. */
  readonly revoked?: ReadonlyArray<Issued | string>
  /** Seconds since the epoch. By default the list is valid from a minute ago and for a year. */
  readonly thisUpdate?: number
  readonly nextUpdate?: number
  /** Lines of the section `crl_extensions` of the openssl configuration. */
  readonly extensions?: ReadonlyArray<string>
}

/** A certificate authority of one test, made by openssl. */
export interface Authority extends Issued {
  readonly issue: (request: Request) => Effect.Effect<Issued>
  /**
   * An intermediate authority. The certificates that it issues are chains with its own certificate. Without `permitted`,
   * that certificate is not one of an authority.
   */
  readonly intermediate: (name: string, permitted?: boolean) => Effect.Effect<Authority, never, Scope.Scope>
  readonly revocationList: (revocations?: Revocations) => Effect.Effect<string>
}

class OpensslFailed extends Data.TaggedError("OpensslFailed")<{ readonly output: string }> {}

const openssl = (folder: string, ...words: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<void> =>
  Effect.callback<void, OpensslFailed>((resume) => {
    execFile("openssl", words.flat(), { cwd: folder }, (error, _, stderr) =>
      resume(error === null ? Effect.void : Effect.fail(new OpensslFailed({ output: stderr })))
    )
  }).pipe(Effect.orDie)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "authority-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"] as const
const authorityExtensions = [
  "-addext",
  "basicConstraints=critical,CA:TRUE",
  "-addext",
  "keyUsage=critical,keyCertSign,cRLSign"
]
const signedBy = ["-CA", "ca.crt", "-CAkey", "ca.key"]

const opensslTime = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(/[-T:]|\.[0-9]+/g, "")

const pair = (path: string, name: string): Issued => ({
  cert: readFileSync(join(path, `${name}.crt`), "utf8"),
  key: readFileSync(join(path, `${name}.key`), "utf8")
})

/** `above` are the certificates from this authority to the trusted root, exclusive. */
const at = (path: string, above: string): Authority => {
  const own = pair(path, "ca")
  let count = 0
  const next = (kind: string) => `${kind}${++count}`
  const issue = Effect.fnUntraced(function* (request: Request) {
    const name = next("leaf")
    yield* openssl(
      path,
      ["req", "-x509", ...newKey, ...signedBy, "-keyout", `${name}.key`, "-out", `${name}.crt`],
      ["-utf8", "-subj", request.subject, "-days", String(request.days ?? 30)],
      ["-addext", "basicConstraints=critical,CA:FALSE"],
      ["-addext", `extendedKeyUsage=${request.usage ?? "clientAuth"}`],
      request.alternativeNames === undefined ? [] : ["-addext", `subjectAltName=${request.alternativeNames}`]
    )
    const issued = pair(path, name)
    return { ...issued, cert: issued.cert + above }
  })
  return {
    ...own,
    issue,
    intermediate: Effect.fnUntraced(function* (name: string, permitted = true) {
      const inner = yield* folder
      const made = next("intermediate")
      yield* openssl(
        path,
        ["req", "-x509", ...newKey, ...signedBy, "-keyout", `${made}.key`, "-out", `${made}.crt`],
        ["-subj", `/CN=${name}`, "-days", "30"],
        permitted ? authorityExtensions : ["-addext", "basicConstraints=critical,CA:FALSE"]
      )
      const issued = pair(path, made)
      writeFileSync(join(inner, "ca.crt"), issued.cert)
      writeFileSync(join(inner, "ca.key"), issued.key)
      return at(inner, issued.cert + above)
    }),
    revocationList: Effect.fnUntraced(function* ({ extensions = [], nextUpdate, revoked = [], thisUpdate } = {}) {
      const name = next("list")
      const nowSeconds = Math.floor(Date.now() / 1000)
      const serials = revoked.map((one) => (typeof one === "string" ? one : new X509Certificate(one.cert).serialNumber))
      writeFileSync(
        join(path, `${name}.txt`),
        serials.map((serial) => `R\t361231235959Z\t260101000000Z\t${serial}\tunknown\t/CN=revoked\n`).join("")
      )
      writeFileSync(
        join(path, `${name}.cnf`),
        [
          "[ca]\ndefault_ca = this\n[this]",
          `database = ${name}.txt`,
          "certificate = ca.crt\nprivate_key = ca.key\ndefault_md = sha256",
          ...(extensions.length === 0 ? [] : ["crl_extensions = crl_extensions"]),
          "[crl_extensions]",
          ...extensions,
          ""
        ].join("\n")
      )
      yield* openssl(
        path,
        ["ca", "-config", `${name}.cnf`, "-gencrl", "-out", `${name}.crl`],
        ["-crl_lastupdate", opensslTime(thisUpdate ?? nowSeconds - 60)],
        ["-crl_nextupdate", opensslTime(nextUpdate ?? nowSeconds + 365 * 86_400)]
      )
      return readFileSync(join(path, `${name}.crl`), "utf8")
    })
  }
}

/** A self-signed authority. The end of the scope removes its folder. */
export const authority = Effect.fnUntraced(function* (name: string) {
  const path = yield* folder
  yield* openssl(
    path,
    ["req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.crt"],
    ["-subj", `/CN=${name}`, "-days", "30", ...authorityExtensions]
  )
  return at(path, "")
})
