/**
 * A response body as the cache keeps it: a string while short (it leaves in one piece with the response's head), bytes
 * from `longText` characters on (they leave without being copied and encoded for each request). Names and counts are
 * ASCII, so `length` is the content length in bytes for both.
 */
export type Body = string | Uint8Array

/** The length, in characters, from which a body is kept as bytes. */
export const longText = 16_384

/** Where a body is kept once rendered. Views that show the same share one, so it is rendered once for all of them. */
export interface BodyMemo {
  body: Body | undefined
}

/** A memo with nothing rendered yet. */
export const emptyMemo = (): BodyMemo => ({ body: undefined })

/** One body of ASCII `pieces`, end to end. */
export const fromPieces = (pieces: ReadonlyArray<string>): Body => {
  let length = 0
  for (const piece of pieces) length += piece.length
  if (length < longText) return pieces.join("")
  // Not from the shared pool of small buffers: what lives long would keep its neighbours' slab alive.
  const bytes = Buffer.allocUnsafeSlow(length)
  let offset = 0
  for (const piece of pieces) offset += bytes.write(piece, offset, "latin1")
  return bytes
}
