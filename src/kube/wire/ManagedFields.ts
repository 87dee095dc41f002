/**
 * Removes `managedFields` (which client set which field) from JSON before it is parsed. They are most of the text of an
 * object, and parsing them costs time and garbage.
 */

// In compact JSON, as the API server writes it, this can only be the key: inside a string its quotes would be escaped.
const opening = '"managedFields":['

const quote = 0x22
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d

/** The index of the bracket that closes the array whose elements begin at `from`; -1 if the text ends before it. */
const closing = (text: string, from: number): number => {
  let depth = 1
  let inString = false
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (inString) {
      if (code === backslash) at++
      else if (code === quote) inString = false
    } else if (code === quote) inString = true
    else if (code === openBracket) depth++
    else if (code === closeBracket && --depth === 0) return at
  }
  return -1
}

/** The JSON text with each `managedFields` emptied, without validating them. Truncated text stays truncated. */
export const withoutManagedFields = (text: string): string => {
  let kept = ""
  let from = 0
  for (let at = text.indexOf(opening); at !== -1; at = text.indexOf(opening, from)) {
    const start = at + opening.length
    const end = closing(text, start)
    if (end === -1) break
    kept += text.slice(from, start)
    from = end
  }
  return from === 0 ? text : kept + text.slice(from)
}
