/**
 * Bounds the chains of client certificates that OpenSSL verifies.
 *
 * Node's verify callback accepts every error (VerifyCallback in src/crypto/crypto_common.cc): with `optional` and with
 * `require`, OpenSSL completes the verification of a chain that no trusted CA has signed, on the event loop. A client may
 * send 100 kB, that is 78 intermediates with RSA keys of 3,072 bits and public exponents of the same size. That took 560 ms
 * of CPU for each handshake, and takes 42 ms with this bound; see bench/HostileChain.ts.
 *
 * Node has no option for the depth (https://github.com/nodejs/node/issues/39208). OpenSSL has one: for the certificate of a
 * client it looks up the verification parameters named `ssl_client`, first in a table that the process may add to. So this
 * adds a copy of the built-in parameters with a depth, through `node:ffi`. Without `node:ffi` it logs a warning, and only
 * limits/HandshakeDebts.ts limits the cost.
 */
import { Effect } from "effect"

/** The largest number of intermediates between a client's certificate and a CA of `TLS_CLIENT_CA_FILE`. */
export const maxIntermediates = 3

const name = "ssl_client"

/** X509_VP_FLAG_DEFAULT: these parameters replace those of `default`, which OpenSSL applies first. */
const replacesDefault = 1

const add = async (): Promise<void> => {
  const { dlopen } = await import("node:ffi")
  // Without a path: the symbols of the process itself.
  const { functions, lib } = dlopen(null, {
    X509_VERIFY_PARAM_lookup: { arguments: ["string"], return: "pointer" },
    X509_VERIFY_PARAM_new: { arguments: [], return: "pointer" },
    X509_VERIFY_PARAM_inherit: { arguments: ["pointer", "pointer"], return: "int32" },
    X509_VERIFY_PARAM_set1_name: { arguments: ["pointer", "string"], return: "int32" },
    X509_VERIFY_PARAM_set_inh_flags: { arguments: ["pointer", "uint32"], return: "int32" },
    X509_VERIFY_PARAM_get_depth: { arguments: ["pointer"], return: "int32" },
    X509_VERIFY_PARAM_set_depth: { arguments: ["pointer", "int32"], return: "void" },
    X509_VERIFY_PARAM_add0_table: { arguments: ["pointer"], return: "int32" }
  })
  const builtIn = functions.X509_VERIFY_PARAM_lookup(name)
  if (builtIn === 0n) throw new Error(`OpenSSL has no verification parameters named ${name}`)
  // Another server of this process has added them.
  if (functions.X509_VERIFY_PARAM_get_depth(builtIn) === maxIntermediates) return
  const bounded = functions.X509_VERIFY_PARAM_new()
  functions.X509_VERIFY_PARAM_set_depth(bounded, maxIntermediates)
  const results = [
    functions.X509_VERIFY_PARAM_inherit(bounded, builtIn),
    functions.X509_VERIFY_PARAM_set1_name(bounded, name),
    functions.X509_VERIFY_PARAM_set_inh_flags(bounded, replacesDefault),
    // The table owns them from here on, until the process ends.
    functions.X509_VERIFY_PARAM_add0_table(bounded)
  ]
  lib.close()
  if (results.includes(0)) throw new Error("OpenSSL has not accepted the verification parameters")
}

/** Bounds the chains for all TLS servers of this process. */
export const bound: Effect.Effect<void> = Effect.tryPromise(add).pipe(
  Effect.catch(({ cause }) =>
    Effect.logWarning(
      "Cannot bound the length of client certificate chains; handshakes of untrusted clients may be expensive",
      cause
    )
  )
)
