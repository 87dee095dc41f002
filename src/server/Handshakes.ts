/** Counts TLS handshakes by result, and client certificates by verdict. */
import { Context, Metric } from "effect"
import type { Server } from "node:https"
import type { TLSSocket } from "node:tls"

const handshake = (result: string) =>
  Metric.counter("tls_handshakes_total", {
    description: "TLS handshakes by result: ok, or the reason of the failure.",
    incremental: true,
    attributes: { result }
  })

const certificate = (result: string) =>
  Metric.counter("tls_client_certificates_total", {
    description:
      "Completed handshakes by the verdict on the client's certificate: verified, none, or what is wrong with it.",
    incremental: true,
    attributes: { result }
  })

/** OpenSSL's and Node's codes as values of the label. */
const failures: ReadonlyArray<readonly [pattern: RegExp, result: string]> = [
  [/HANDSHAKE_TIMEOUT/, "timeout"],
  [/ECONNRESET|EPIPE/, "reset"],
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST/, "plain-http"],
  [/UNSUPPORTED_PROTOCOL|WRONG_VERSION|VERSION_TOO_LOW|PROTOCOL_VERSION|UNKNOWN_PROTOCOL/, "protocol"],
  [/NO_SHARED_CIPHER|NO_CIPHERS|NO_SUITABLE/, "cipher"],
  [/CERT|ALERT_UNKNOWN_CA|PEER_DID_NOT_RETURN/, "certificate"]
]

const failure = (error: unknown, socket: TLSSocket): string => {
  // With `TLS_CLIENT_AUTH=require`, Node ends a connection with an invalid certificate and reports a reset.
  if (socket.authorizationError) return "certificate"
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  return failures.find(([pattern]) => pattern.test(code))?.[1] ?? "other"
}

/** OpenSSL's verdicts on a certificate. */
const verdicts: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "expired",
  CERT_NOT_YET_VALID: "not-yet-valid",
  CERT_REVOKED: "revoked",
  INVALID_PURPOSE: "wrong-usage",
  UNABLE_TO_GET_ISSUER_CERT: "unknown-authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown-authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown-authority",
  SELF_SIGNED_CERT_IN_CHAIN: "unknown-authority",
  DEPTH_ZERO_SELF_SIGNED_CERT: "unknown-authority",
  UNABLE_TO_GET_CRL: "no-revocation-list",
  CRL_HAS_EXPIRED: "no-revocation-list"
}

const verdict = (socket: TLSSocket): string => {
  if (socket.authorized) return "verified"
  if (socket.getPeerX509Certificate() === undefined) return "none"
  return verdicts[String(socket.authorizationError)] ?? "other"
}

/** Counts the server's handshakes in the registry of `context`. */
export const count = (server: Server, context: Context.Context<never>): void => {
  server.on("secureConnection", (socket) => {
    handshake("ok").updateUnsafe(1, context)
    certificate(verdict(socket)).updateUnsafe(1, context)
  })
  server.on("tlsClientError", (error, socket) => handshake(failure(error, socket)).updateUnsafe(1, context))
}
