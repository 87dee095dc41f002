/** Settings of the HTTPS server: its address, its TLS files, its timeouts. */
import * as Kind from "./Kind.ts"
import { optional, withDefault } from "./Setting.ts"

/** The listening address and TLS. */
export const tls = {
  host: withDefault("HOST", Kind.text, "0.0.0.0", "Address to listen on."),
  port: withDefault("PORT", Kind.integer(0, 65_535), "8443", "Port to listen on; 0 picks a free one."),
  tlsCertFile: optional("TLS_CERT_FILE", Kind.pemFile, "Server certificate, followed by its chain. Required."),
  tlsKeyFile: optional("TLS_KEY_FILE", Kind.pemFile, "Private key of the server certificate. Required."),
  tlsClientCaFile: optional("TLS_CLIENT_CA_FILE", Kind.pemFile, "CAs of client certificates. Required."),
  tlsCrlFile: optional("TLS_CRL_FILE", Kind.pemFile, "Revocation lists of those CAs. Unset: no revocation."),
  tlsClientAuth: withDefault(
    "TLS_CLIENT_AUTH",
    Kind.oneOf("optional", "require"),
    "optional",
    "Without a valid client certificate: `optional` serves probes and 403, `require` refuses the handshake."
  ),
  tlsCiphers: withDefault("TLS_CIPHERS", Kind.ciphers, "TLS_AES_128_GCM_SHA256", "TLS 1.3 cipher suites to offer."),
  tlsExpiryWarning: withDefault(
    "TLS_EXPIRY_WARNING",
    Kind.duration,
    "21d",
    "Remaining lifetime at which the log warns of an expiry; at most a quarter of the whole."
  )
}

/** Timeouts of connections and requests, and the shutdown. */
export const timeouts = {
  tlsHandshakeTimeout: withDefault("TLS_HANDSHAKE_TIMEOUT", Kind.timeout, "5s", "Maximum time of a TLS handshake."),
  headersTimeout: withDefault("HEADERS_TIMEOUT", Kind.timeout, "10s", "Maximum time for the headers to arrive (408)."),
  requestTimeout: withDefault(
    "REQUEST_TIMEOUT",
    Kind.timeout,
    "15s",
    "Maximum time for a request to arrive, and for it to be served (408)."
  ),
  responseTimeout: withDefault(
    "RESPONSE_TIMEOUT",
    Kind.timeout,
    "30s",
    "Maximum time for a client to read a response; then its connection is ended."
  ),
  keepAliveTimeout: withDefault("KEEP_ALIVE_TIMEOUT", Kind.timeout, "65s", "Maximum idle time of a connection."),
  drainPeriod: withDefault(
    "DRAIN_PERIOD",
    Kind.duration,
    "5s",
    "At shutdown, time from `/readyz` turning 503 until the port closes."
  ),
  shutdownTimeout: withDefault(
    "SHUTDOWN_TIMEOUT",
    Kind.duration,
    "20s",
    "Time for requests in flight to finish after that."
  )
}
