/** The framing of a watch in JSON: an event per line. Chunks may end anywhere, even within a character. */
import { Result } from "effect"
import type { Progress } from "./KubeCodec.ts"

/** Maximum length of an event in bytes. etcd stores objects of up to 1.5 MiB; aggregated APIs may send larger ones. */
export const maxEventBytes = 8 * 1024 * 1024

const newline = 0x0a

/** Splits a body into lines. */
export interface LineReader {
  readonly push: (chunk: Uint8Array) => Progress<string, string>
  /** Ends the body. Fails if the last line has no newline: it was truncated. */
  readonly end: () => Progress<string, string>
}

/** Splits a body into lines of at most `limit` bytes. */
export const watchLines = (limit: number = maxEventBytes): LineReader => {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let parts: Array<Uint8Array> = []
  let length = 0

  const line = (): Result.Result<string, string> => {
    const bytes = parts.length === 1 ? parts[0] : Buffer.concat(parts, length)
    parts = []
    length = 0
    return Result.try({ try: () => decoder.decode(bytes), catch: () => "not UTF-8" })
  }

  return {
    push: (chunk) => {
      const complete: Array<string> = []
      let from = 0
      while (from < chunk.length) {
        // In UTF-8 the byte of a newline is never part of another character, so bytes can be searched before decoding.
        const at = chunk.indexOf(newline, from)
        const part = chunk.subarray(from, at === -1 ? chunk.length : at)
        parts.push(part)
        length += part.length
        from += part.length + 1
        if (length > limit) return { complete, failure: `a line of more than ${limit} bytes` }
        if (at === -1) continue
        const decoded = line()
        if (Result.isFailure(decoded)) return { complete, failure: decoded.failure }
        complete.push(decoded.success)
      }
      return { complete }
    },
    end: () => (length > 0 ? { complete: [], failure: "truncated in the middle of a line" } : { complete: [] })
  }
}
