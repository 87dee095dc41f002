import { Context } from "effect"

/** Whether requests make spans of their own. Each of them then goes the whole way through the routes. */
export const RequestTracing = Context.Reference<boolean>("kube-resource-api/observability/RequestTracing", {
  defaultValue: () => false
})
