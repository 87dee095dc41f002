/** The conditions of a write exactly as sent, even if malformed, for the audit log. */
import { dryRunParameter, dryRunValue } from "../contract/Preconditions.ts"

/** `If-Match` and whether the request is a dry run. */
export interface SentConditions {
  readonly ifMatch: string | undefined
  readonly dryRun: boolean
}

/** The conditions of a request with this `If-Match` and target. */
export const sentConditions = (ifMatch: string | undefined, target: string): SentConditions => {
  const queryAt = target.indexOf("?")
  if (queryAt === -1) return { ifMatch, dryRun: false }
  const values = new URLSearchParams(target.slice(queryAt + 1)).getAll(dryRunParameter)
  return { ifMatch, dryRun: values.length === 1 && values[0] === dryRunValue }
}
