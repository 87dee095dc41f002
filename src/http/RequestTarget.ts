import { Result } from "effect"

const special = /[%;#]/

const routableSegment = (segment: string): string =>
  Result.isSuccess(Result.try(() => decodeURIComponent(segment))) ? segment : segment.replaceAll("%", "%25")

/**
 * A request target as the router should see it. A segment whose percent-encoding is malformed is escaped, so that the
 * request is routed by its other segments and then refused in its turn: the escaped text can be no name. `;` and `#`,
 * which the router would take for the start of the query, are escaped too: in a path they are ordinary characters.
 */
export const routableTarget = (target: string): string => {
  if (!special.test(target)) return target
  const queryAt = target.indexOf("?")
  const path = queryAt === -1 ? target : target.slice(0, queryAt)
  return path.split("/").map(routableSegment).join("/").replaceAll(";", "%3B").replaceAll("#", "%23")
}
