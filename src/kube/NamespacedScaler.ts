import { Effect, Layer } from "effect"
import { DeploymentScaler } from "../model/DeploymentScaler.ts"
import { NotFound } from "../contract/Problems.ts"
import type { NamespaceName } from "../contract/Names.ts"

/**
 * Of another `DeploymentScaler`, only what is in these namespaces: where the service sees no others, no others exist.
 */
export const layer = (
  namespaces: ReadonlyArray<NamespaceName>
): Layer.Layer<DeploymentScaler, never, DeploymentScaler> =>
  Layer.effect(
    DeploymentScaler,
    Effect.map(DeploymentScaler, ({ scale }) => {
      const within = new Set(namespaces)
      return DeploymentScaler.of({
        scale: (ref, replicas) =>
          within.has(ref.namespace)
            ? scale(ref, replicas)
            : Effect.fail(
                new NotFound({ detail: `deployment "${ref.name}" not found in namespace "${ref.namespace}"` })
              )
      })
    })
  )
