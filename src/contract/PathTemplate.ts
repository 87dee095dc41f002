/** Matches request targets with the path templates of the contract's endpoints. */

/** The parameters in a path, by name, as they stand there. */
export type PathParams = Readonly<Record<string, string>>

/**
 * A function that gives the parameters of a path that has the form of `template`, or `undefined`. A segment is compared as
 * it stands: percent-encoding is not decoded.
 */
export const matching = (template: string): ((path: string) => PathParams | undefined) => {
  const expected = template.split("/")
  return (path) => {
    const segments = path.split("/")
    if (segments.length !== expected.length) return undefined
    const params: Record<string, string> = {}
    for (const [at, segment] of segments.entries()) {
      const name = expected[at]
      if (name?.startsWith(":") === true && segment !== "") params[name.slice(1)] = segment
      else if (name !== segment) return undefined
    }
    return params
  }
}

/** The path of a request target: what comes before its query. */
export const pathOf = (target: string): string => {
  const query = target.indexOf("?")
  return query === -1 ? target : target.slice(0, query)
}
