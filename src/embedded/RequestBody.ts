import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import { type KubeStatus, statusOf } from "./KubeStatus.ts"

const largestBody = 3 * 1024 * 1024

/**
 * The whole body as text. Fails with 413 above 3 MB, as kube-apiserver does. Does not complete when the connection is
 * gone: the request's fiber is interrupted then.
 */
export const readBody = (request: IncomingMessage): Effect.Effect<string, KubeStatus> =>
  Effect.callback<string, KubeStatus>((resume) => {
    const chunks: Array<Buffer> = []
    let size = 0
    const onData = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= largestBody) chunks.push(chunk)
    }
    const onEnd = (): void => {
      resume(
        size <= largestBody
          ? Effect.succeed(Buffer.concat(chunks).toString("utf8"))
          : Effect.fail(statusOf(413, "the request body is too large, the limit is 3145728"))
      )
    }
    request.on("data", onData)
    request.once("end", onEnd)
    return Effect.sync(() => {
      request.off("data", onData)
      request.off("end", onEnd)
    })
  })
