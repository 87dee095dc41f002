import type { ServerResponse } from "node:http"
import { Effect } from "effect"

/**
 * Writes the chunks in turn, taking the next one only when the socket has room for it, so that a slow reader holds
 * back the rendering and not the memory. Does not end the response. Never completes when the connection is gone: the
 * request's fiber is interrupted then.
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

/** Writes one chunk and waits until it has left the process. */
export const flushChunk = (response: ServerResponse, chunk: string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    response.write(chunk, () => {
      resume(Effect.void)
    })
  })
