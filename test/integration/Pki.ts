import { readFileSync } from "node:fs"

/** Who a test's client is; `none` shows no certificate. */
export type Client =
  "admin" | "viewer" | "nobody" | "stranger" | "none" | "expired" | "revoked" | "wrong-usage" | "nameless"

/** The path of one of the test certificates' files. */
export const file = (name: string): string => new URL(`../../.dev/test-pki/${name}`, import.meta.url).pathname

/** The TLS options with which a client connects and trusts the server. */
export const clientOptions = (client: Client) => ({
  ca: readFileSync(file("ca.crt")),
  servername: "localhost",
  ...(client === "none" ? {} : { cert: readFileSync(file(`${client}.crt`)), key: readFileSync(file(`${client}.key`)) })
})
