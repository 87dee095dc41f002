/**
 * The options of the Redis client.
 *
 * The package `redis` 6.3 builds a class with all commands for each client, unless the options, as JSON, equal those of the
 * last client. That takes 25 ms of CPU or more. Sessions that connect at the same time would time out again and again, and
 * each query to a Sentinel would delay requests. So options that differ between connections are hidden from JSON.
 */
import type * as NodeRedis from "@effect/platform-node/NodeRedis"
import { Duration, Redacted } from "effect"

/** Address and timeouts of a connection. */
export interface ConnectionOptions {
  /** `redis://` or `rediss://`, with user and password. */
  readonly url: Redacted.Redacted<string>
  /** The authorities of the server's certificate, in PEM. Undefined: the public ones. */
  readonly ca: string | undefined
  /** The timeout of connecting, and of a command. */
  readonly commandTimeout: Duration.Duration
  /** The timeout of a silent connection; longer than any command blocks. */
  readonly silenceLimit: Duration.Duration
}

/** The client never reconnects. The signal closes a socket that is still connecting, which `destroy` does not. */
export const clientOptions = (
  { ca, commandTimeout, silenceLimit, url }: ConnectionOptions,
  signal: AbortSignal
): NonNullable<Parameters<typeof NodeRedis.layer>[0]> => {
  const { hostname, password, pathname, port, protocol, username } = new URL(Redacted.value(url))
  const socket = {
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: port === "" ? 6379 : Number(port),
    reconnectStrategy: false as const,
    connectTimeout: Duration.toMillis(commandTimeout),
    socketTimeout: Duration.toMillis(silenceLimit),
    signal
  }
  const credentials = {
    ...(username === "" ? {} : { username: decodeURIComponent(username) }),
    ...(password === "" ? {} : { password: decodeURIComponent(password) })
  }
  return {
    socket: withoutJson(
      protocol === "rediss:" ? { ...socket, tls: true, ...(ca === undefined ? {} : { ca }) } : socket
    ),
    credentialsProvider: { type: "async-credentials-provider", credentials: () => Promise.resolve(credentials) },
    database: Number(pathname.slice(1)),
    // The form of replies must not depend on the version of the server.
    RESP: 2,
    disableOfflineQueue: true,
    // A caller has one or two commands in flight. More reveal a leak.
    commandsQueueMaxLength: 64,
    name: "kube-resource-api"
  }
}

const withoutJson = <A extends object>(value: A): A => Object.defineProperty(value, "toJSON", { value: () => null })
