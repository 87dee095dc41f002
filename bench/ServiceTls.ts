import { readFileSync } from "node:fs"
import { file } from "../test/support/Pki.ts"

/** The service's TLS settings for the servers that it is compared with. */
export const serviceTls = () =>
  ({
    cert: readFileSync(file("server.crt")),
    key: readFileSync(file("server.key")),
    ca: readFileSync(file("ca.crt")),
    ciphers: "TLS_AES_128_GCM_SHA256",
    minVersion: "TLSv1.3",
    requestCert: true,
    rejectUnauthorized: false
  }) as const
