/** Curl lines to paste, for a service at `url` and the development certificates in the folder `pki`. */
export const text = (url: string, pki: string): string => {
  // Quotes the path for the shell if necessary.
  const file = (name: string) =>
    /^[\w./-]+$/.test(pki) ? `${pki}/${name}` : `'${`${pki}/${name}`.replaceAll("'", `'\\''`)}'`
  const as = (client: string) =>
    `curl -s --cacert ${file("ca.crt")} --cert ${file(`${client}.crt`)} --key ${file(`${client}.key`)}`
  return [
    "Try it:",
    `  ${as("admin")} ${url}/namespaces`,
    `  ${as("admin")} ${url}/namespaces/ANY/deployments`,
    `  ${as("admin")} ${url}/namespaces/personal/deployments/nginx/replica_count`,
    `  ${as("admin")} -X PUT ${url}/namespaces/personal/deployments/nginx/replica_count/38`,
    `  ${as("admin")} ${url}/namespaces/personal/deployments/ANY/replica_count`,
    `  curl -s --cacert ${file("ca.crt")} ${url}/readyz`
  ].join("\n")
}
