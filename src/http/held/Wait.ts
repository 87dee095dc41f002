import type { ClusterCache } from "../../cache/ClusterCache.ts"
import type { End, HeldProblem, HeldRequest, HeldResponse } from "./HeldResponse.ts"

/**
 * A read that waits until the entity tag of its target differs from `etag`. `done` is called once,
 * unless it is cancelled: with the error, or without one if the read is to be answered now.
 */
export class Wait implements HeldResponse {
  readonly kind = "wait"
  readonly held: HeldRequest
  private readonly cache: ClusterCache["Service"]
  private readonly etag: string
  private readonly done: (outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem) => void
  private isOver = false

  constructor(
    held: HeldRequest,
    etag: string,
    cache: ClusterCache["Service"],
    done: (outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem) => void
  ) {
    this.held = held
    this.etag = etag
    this.cache = cache
    this.done = done
  }

  proceed(): void {
    if (this.held.read.tag(this.cache.current()) !== this.etag) this.finish("changed")
  }

  /** The time is over. */
  expire(): void {
    this.finish("unchanged")
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
  }

  private finish(outcome: "changed" | "unchanged" | "ended", problem?: HeldProblem): void {
    if (this.isOver) return
    this.cancel()
    this.done(outcome, problem)
  }
}
