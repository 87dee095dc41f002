import * as ContentTag from "./ContentTag.ts"

/**
 * A rendered response body. A short one is a string, which Node sends in one piece with the header block. One of `longText`
 * characters or more is bytes, which are not copied and encoded for each request. Names and counts are ASCII, so `length`
 * is the content length of both.
 */
export type Body = string | Uint8Array

/** The length, in characters, from which a body is kept as bytes. */
export const longText = 16_384

/** The tag of a list, and its body once it has been rendered. Views that show the same list share one. */
export interface ListMemo {
  readonly digest: ContentTag.Digest
  readonly etag: string
  body: Body | undefined
}

/** A memo of a list with this digest that has not been rendered yet. */
export const memoOf = (digest: ContentTag.Digest): ListMemo => ({
  digest,
  etag: ContentTag.ofList(digest),
  body: undefined
})

/** The memo of the list with `added` and without `removed`. */
export const memoAfter = (
  { digest }: ListMemo,
  added: ContentTag.Digest,
  removed: ContentTag.Digest = ContentTag.nothing
): ListMemo => memoOf(ContentTag.changed(digest, added, removed))

/** Concatenates ASCII `pieces`. */
export const fromPieces = (pieces: ReadonlyArray<string>): Body => {
  let length = 0
  for (const piece of pieces) length += piece.length
  if (length < longText) return pieces.join("")
  // Not from Node's buffer pool: a long-lived buffer would keep its neighbours' slab alive.
  const bytes = Buffer.allocUnsafeSlow(length)
  let offset = 0
  for (const piece of pieces) offset += bytes.write(piece, offset, "latin1")
  return bytes
}
