import { readFileSync } from "node:fs"

/** The test clients; `none` presents no certificate. */
export type Client =
  "admin" | "viewer" | "nobody" | "stranger" | "none" | "expired" | "revoked" | "wrong-usage" | "nameless"

/** A test client, or the PEM of its certificate and key and of the authority that it trusts. */
export type Party = Client | { readonly ca: string; readonly cert: string; readonly key: string }

/** The path of a test certificate file. */
export const file = (name: string): string => new URL(`../../.dev/test-pki/${name}`, import.meta.url).pathname

/** The PEM text of a test certificate file. */
export const pem = (name: string): string => readFileSync(file(name), "utf8")

/** Certificate and key of the test server. */
export const serverPem = () => ({ cert: pem("server.crt"), key: pem("server.key") })

/** The settings `PREFIX_CA_FILE`, `PREFIX_CERT_FILE` and `PREFIX_KEY_FILE` of a client. */
export const clientSettings = (prefix: string, client: Client): Readonly<Record<string, string>> => ({
  [`${prefix}_CA_FILE`]: file("ca.crt"),
  [`${prefix}_CERT_FILE`]: file(`${client}.crt`),
  [`${prefix}_KEY_FILE`]: file(`${client}.key`)
})

/** The TLS options of a client. */
export const clientOptions = (party: Party) =>
  typeof party === "object"
    ? { ...party, servername: "localhost" }
    : {
        ca: readFileSync(file("ca.crt")),
        servername: "localhost",
        ...(party === "none"
          ? {}
          : { cert: readFileSync(file(`${party}.crt`)), key: readFileSync(file(`${party}.key`)) })
      }
