import type { ClusterCache } from "../../cache/ClusterCache.ts"
import type { End, HeldProblem, HeldRequest, HeldResponse } from "./HeldResponse.ts"

/**
 * A read that waits until the entity tag of its target is not `etag` any more, for at most `millis`. `done` is called once,
 * unless it is cancelled: with the error, or without one if the read is to be answered now.
 */
export class Wait implements HeldResponse {
  readonly kind = "wait"
  readonly held: HeldRequest
  verifiedAt = performance.now()
  reviewedAt = Number.NEGATIVE_INFINITY
  private readonly cache: ClusterCache["Service"]
  private readonly etag: string
  private readonly done: (outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem) => void
  private readonly timer: NodeJS.Timeout
  private isOver = false

  constructor(
    held: HeldRequest,
    etag: string,
    millis: number,
    cache: ClusterCache["Service"],
    done: (outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem) => void
  ) {
    this.held = held
    this.etag = etag
    this.cache = cache
    this.done = done
    this.timer = setTimeout(() => this.finish("unchanged"), millis)
  }

  proceed(): void {
    if (this.held.read.tag(this.cache.current()) !== this.etag) this.finish("changed")
  }

  crash(): void {
    this.held.response.destroy()
  }

  tick(): void {}

  end(end: End): void {
    this.finish("ended", "problem" in end ? end.problem : undefined)
  }

  /** Ends without a call of `done`. */
  cancel(): void {
    this.isOver = true
    clearTimeout(this.timer)
  }

  private finish(outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem): void {
    if (this.isOver) return
    this.cancel()
    this.done(outcome, problem)
  }
}
