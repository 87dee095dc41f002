import type { ServerResponse } from "node:http"
import { Effect } from "effect"
import { type BodyChunk, chunkSize } from "./wire/ObjectEncoding.ts"

/** Collects chunks of one encoding, to write them together. */
export class ChunkBatch {
  readonly #chunks: Array<BodyChunk> = []
  #size = 0

  add(chunk: BodyChunk): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  get isFull(): boolean {
    return this.#size >= chunkSize
  }

  /** All chunks as one. */
  join(): BodyChunk {
    const texts: Array<string> = []
    const bytes: Array<Uint8Array> = []
    for (const chunk of this.#chunks) {
      if (typeof chunk === "string") texts.push(chunk)
      else bytes.push(chunk)
    }
    return bytes.length === 0 ? texts.join("") : Buffer.concat(bytes)
  }
}

/**
 * Writes the chunks in turn, each once the socket has room for it, so that a slow client delays the rendering instead
 * of filling memory. Does not end the response. Does not complete when the connection is lost: the request's fiber is
 * interrupted then.
 */
export const writeChunks = (response: ServerResponse, chunks: Iterable<BodyChunk>): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    const iterator = chunks[Symbol.iterator]()
    const pump = (): void => {
      for (;;) {
        const next = iterator.next()
        if (next.done === true) {
          resume(Effect.void)
          return
        }
        if (!response.write(next.value)) {
          response.once("drain", pump)
          return
        }
      }
    }
    pump()
    return Effect.sync(() => {
      response.off("drain", pump)
    })
  })

/** Writes one chunk and waits until it is flushed. */
export const flushChunk = (response: ServerResponse, chunk: BodyChunk): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    response.write(chunk, () => {
      resume(Effect.void)
    })
  })
