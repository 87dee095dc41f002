import { readFileSync } from "node:fs"

/** Who a test's client is; `none` shows no certificate. */
export type Client =
  "admin" | "viewer" | "nobody" | "stranger" | "none" | "expired" | "revoked" | "wrong-usage" | "nameless"

/** A client, or the certificates with which one connects and trusts the server, as PEM. */
export type Party = Client | { readonly ca: string; readonly cert: string; readonly key: string }

/** The path of one of the test certificates' files. */
export const file = (name: string): string => new URL(`../../.dev/test-pki/${name}`, import.meta.url).pathname

/** The TLS options with which a client connects and trusts the server. */
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
