import type { ServerResponse } from "node:http"
import { Effect } from "effect"

/**
 * Writes the chunks in turn, each once the socket has room for it, so that a slow client delays the rendering instead
 * of filling memory. Does not end the response. Does not complete when the connection is lost: the request's fiber is
 * interrupted then.
 */
export const writeChunks = (response: ServerResponse, chunks: Iterable<string>): Effect.Effect<void> =>
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
export const flushChunk = (response: ServerResponse, chunk: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    response.write(chunk, () => {
      resume(Effect.void)
    })
  })
