/**
 * What the embedded cluster holds at its start: namespaces, their deployments, and each one's replica count
 * (`undefined`: the object says none, which means 1).
 */
export interface Seed {
  readonly [namespace: string]: { readonly [deployment: string]: number | undefined }
}

/** The demo cluster. */
export const demoSeed: Seed = {
  default: {},
  "kube-system": { fred: 1, jane: 2, sally: 1 },
  personal: { nginx: 12, kafka: 3, "resource-access": 2 }
}
