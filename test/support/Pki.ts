import { readFileSync } from "node:fs"

/** The test clients; `none` presents no certificate. */
export type Client =
  "admin" | "viewer" | "nobody" | "stranger" | "none" | "expired" | "revoked" | "wrong-usage" | "nameless"

/** A test client, or the PEM of its certificate and key and of the authority that it trusts. */
export type Party = Client | { readonly ca: string; readonly cert: string; readonly key: string }

/** The path of a test certificate file. */
export const file = (name: string): string => new URL(`../../.dev/test-pki/${name}`, import.meta.url).pathname

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
