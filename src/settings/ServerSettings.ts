/** Settings of the HTTPS server: its address, its TLS files, its timeouts. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The listening address and TLS. */
export const tls = {
  host: withDefault("HOST", Kind.text, "0.0.0.0", "Address to listen on."),
  port: withDefault("PORT", Kind.integer(0, 65_535), "8443", "Port to listen on; 0 takes a free one."),
  tlsCertFile: optional("TLS_CERT_FILE", Kind.pemFile, "Server certificate, with its chain. Required."),
  tlsKeyFile: optional("TLS_KEY_FILE", Kind.pemFile, "Private key of the server certificate. Required."),
  tlsClientCaFile: optional(
    "TLS_CLIENT_CA_FILE",
    Kind.pemFile,
    "Certificate authorities that issue client certificates. Required."
  ),
  tlsCrlFile: optional(
    "TLS_CRL_FILE",
    Kind.pemFile,
    "Certificate revocation lists of those authorities. Unset: revocation is not checked."
  ),
  tlsClientAuth: withDefault(
    "TLS_CLIENT_AUTH",
    Kind.oneOf("optional", "require"),
    "optional",
    "`optional` serves probes, and 403s, to clients without a valid certificate; `require` rejects them at the handshake."
  ),
  tlsCiphers: withDefault("TLS_CIPHERS", Kind.ciphers, "TLS_AES_128_GCM_SHA256", "TLS 1.3 cipher suites to offer."),
  tlsExpiryWarning: withDefault(
    "TLS_EXPIRY_WARNING",
    Kind.duration,
    "21d",
    "How long before a certificate or revocation list expires the log warns; for short-lived ones, in the last quarter of their lifetime."
  )
}

/** Timeouts of connections and requests, and the shutdown. */
export const timeouts = {
  tlsHandshakeTimeout: withDefault("TLS_HANDSHAKE_TIMEOUT", Kind.timeout, "5s", "Timeout of a TLS handshake."),
  headersTimeout: withDefault("HEADERS_TIMEOUT", Kind.timeout, "10s", "Time for a request's headers to arrive (408)."),
  requestTimeout: withDefault(
    "REQUEST_TIMEOUT",
    Kind.timeout,
    "15s",
    "Time for a whole request to arrive, and again for it to be handled (408)."
  ),
  responseTimeout: withDefault(
    "RESPONSE_TIMEOUT",
    Kind.timeout,
    "30s",
    "Time for a client to read a response; then its connection is closed."
  ),
  keepAliveTimeout: withDefault("KEEP_ALIVE_TIMEOUT", Kind.timeout, "65s", "How long an idle connection stays open."),
  drainPeriod: withDefault(
    "DRAIN_PERIOD",
    Kind.duration,
    "5s",
    "At shutdown, how long `/readyz` answers 503 before the port closes, so that load balancers remove the instance first."
  ),
  shutdownTimeout: withDefault(
    "SHUTDOWN_TIMEOUT",
    Kind.duration,
    "20s",
    "Time for requests in flight to finish after the port has closed."
  )
}
