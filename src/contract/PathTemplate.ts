/** Matches request targets with the path templates of the contract's endpoints. */

/** The parameters of a path by name, not decoded. */
export type PathParams = Readonly<Record<string, string>>

/**
 * A function from a path to its parameters; `undefined` if the path does not match `template`. Segments are compared
 * without percent-decoding.
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

/** The path of a request target, without its query. */
export const pathOf = (target: string): string => {
  const query = target.indexOf("?")
  return query === -1 ? target : target.slice(0, query)
}
