/** The curl lines that a newcomer can paste, for a service at `url` and the development certificates in the folder `pki`. */
export const text = (url: string, pki: string): string => {
  const as = (client: string) => `curl -s --cacert ${pki}/ca.crt --cert ${pki}/${client}.crt --key ${pki}/${client}.key`
  return [
    "Try it:",
    `  ${as("admin")} ${url}/namespaces`,
    `  ${as("admin")} ${url}/namespaces/ANY/deployments`,
    `  ${as("admin")} ${url}/namespaces/personal/deployments/nginx/replica_count`,
    `  ${as("admin")} -X PUT ${url}/namespaces/personal/deployments/nginx/replica_count/38`,
    `  ${as("admin")} ${url}/namespaces/personal/deployments/ANY/replica_count`,
    `  curl -s --cacert ${pki}/ca.crt ${url}/readyz`
  ].join("\n")
}
