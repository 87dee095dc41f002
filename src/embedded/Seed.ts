/**
 * The initial content of the embedded cluster: namespaces, their deployments, and the replica count of each. An
 * undefined count is absent from the object, which means 1.
 */
export interface Seed {
  readonly [namespace: string]: { readonly [deployment: string]: number | undefined }
}

/** The initial content of the demo cluster. */
export const demoSeed: Seed = {
  default: {},
  "kube-system": { fred: 1, jane: 2, sally: 1 },
  personal: { nginx: 12, kafka: 3, "resource-access": 2 }
}
