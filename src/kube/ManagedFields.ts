/**
 * `managedFields` is most of an object's text (who set which field), and nothing that is read here: left out before the
 * text is parsed, it costs neither the time nor the garbage of a tree of small objects.
 */

// In compact JSON, as the API writes it, this is the key and nothing else: within a string its quotes would be escaped.
const opening = '"managedFields":['

const quote = 0x22
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d

/**
 * The index of the bracket that closes the array whose first element would be at `from`; -1 if the text ends before it.
 */
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

/**
 * The JSON text with each `managedFields` emptied; what is wrong within one goes unseen. A text that was cut stays so.
 */
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
