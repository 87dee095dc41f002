import type { ServerResponse } from "node:http"
import { Clock, Duration, Effect, Latch } from "effect"
import type { WatchedResource } from "../model/ClusterEvent.ts"
import type { ClusterStore, HistoryNode, Snapshot } from "./ClusterStore.ts"
import { rangeOf } from "./ClusterStore.ts"
import { tooOldResourceVersion } from "./KubeStatus.ts"
import { ChunkBatch, flushChunk, writeChunks } from "./ResponseBody.ts"
import type { EventEncoding, MalformedEvent, ObjectEncoding } from "./wire/ObjectEncoding.ts"

/** A fault that an open watch performs between two events. */
export type WatchFault = "cut" | "gone" | "close" | MalformedEvent

/** A requested watch. Times are in milliseconds; `deadline` and `bookmarkInterval` may be infinite. */
export interface WatchPlan {
  readonly resource: WatchedResource
  readonly namespace: string | undefined
  /** The version after which changes are sent. */
  readonly after: number
  readonly position: HistoryNode
  /** The initial objects, sent as ADDED. */
  readonly initial: Snapshot | undefined
  /** Whether a bookmark marks the end of the initial objects. */
  readonly markInitialEnd: boolean
  readonly bareObjects: boolean
  readonly deadline: number
  readonly bookmarkInterval: number
}

/** An open watch: its position in the history, and its pending faults. */
export class OpenWatch {
  readonly plan: WatchPlan
  readonly #store: ClusterStore
  readonly #response: ServerResponse
  readonly #encoding: ObjectEncoding
  readonly #wake = Latch.makeUnsafe(false)
  readonly #flowing = Latch.makeUnsafe(true)
  readonly #faults: Array<WatchFault> = []
  #events: EventEncoding
  #duplicates = 0
  #swapNext = false
  #held: HistoryNode | undefined
  #position: HistoryNode
  #initialIndex = 0
  #initialEnd = 0

  constructor(plan: WatchPlan, store: ClusterStore, response: ServerResponse, encoding: ObjectEncoding) {
    this.plan = plan
    this.#encoding = encoding
    this.#events = encoding.events
    this.#store = store
    this.#response = response
    this.#position = plan.position
    if (plan.initial !== undefined) {
      const { start, end } = rangeOf(plan.initial.items, plan.namespace, undefined)
      this.#initialIndex = start
      this.#initialEnd = end
    }
  }

  /** Wakes the watch: there may be a change to send. */
  notify(): void {
    this.#wake.openUnsafe()
  }

  /** Performs the fault once all changes so far are sent. */
  inject(fault: WatchFault): void {
    this.#faults.push(fault)
    this.notify()
  }

  /** Sends nothing until `release`; the connection stays open. */
  stall(): void {
    this.#flowing.closeUnsafe()
    this.notify()
  }

  release(): void {
    this.#flowing.openUnsafe()
  }

  /** Sends each of the next `count` changes twice. */
  duplicateNext(count: number): void {
    this.#duplicates += count
  }

  /** Adds unknown fields to all further events. */
  addUnknownFields(): void {
    this.#events = this.#encoding.eventsWithUnknownFields
  }

  /** Sends the next change after the one that follows it. */
  swapNext(): void {
    this.#swapNext = true
  }

  /** Destroys the connection at once. */
  drop(): void {
    this.#response.destroy()
  }

  /** Serves the watch until its deadline or a fault, and ends the response. Its headers must have been sent. */
  readonly serve: Effect.Effect<void> = Effect.suspend(() => this.#loop())

  readonly #loop = Effect.fnUntraced(function* (this: OpenWatch) {
    const { plan } = this
    let nextBookmark = (yield* Clock.currentTimeMillis) + plan.bookmarkInterval
    if (plan.initial !== undefined) {
      yield* this.#sendInitial(plan.initial)
    }
    for (;;) {
      yield* this.#flowing.await
      this.#wake.closeUnsafe()
      const pending = this.#pending()
      if (!pending.isEmpty) {
        yield* writeChunks(this.#response, [pending.join()])
        continue
      }
      const fault = this.#faults.shift()
      if (fault !== undefined) {
        const ended = yield* this.#perform(fault)
        if (ended) return
        continue
      }
      const now = yield* Clock.currentTimeMillis
      if (now >= plan.deadline) {
        this.#response.end()
        return
      }
      if (now >= nextBookmark) {
        nextBookmark = now + plan.bookmarkInterval
        if (this.#held === undefined && this.#store.resourceVersion >= plan.after) {
          yield* writeChunks(this.#response, [this.#events.bookmark(plan.resource, this.#store.resourceVersion, false)])
        }
        continue
      }
      const wait = Math.min(plan.deadline, nextBookmark) - now
      yield* Number.isFinite(wait)
        ? Effect.timeoutOption(this.#wake.await, Duration.millis(Math.max(1, wait)))
        : this.#wake.await
    }
  })

  readonly #sendInitial = Effect.fnUntraced(function* (this: OpenWatch, initial: Snapshot) {
    while (this.#initialIndex < this.#initialEnd) {
      yield* this.#flowing.await
      const batch = new ChunkBatch()
      while (this.#initialIndex < this.#initialEnd && !batch.isFull) {
        const object = initial.items[this.#initialIndex]
        this.#initialIndex += 1
        if (object !== undefined) batch.add(this.#events.change("ADDED", object, this.plan.bareObjects))
      }
      yield* writeChunks(this.#response, [batch.join()])
    }
    if (this.plan.markInitialEnd) {
      yield* this.#flowing.await
      yield* writeChunks(this.#response, [this.#events.bookmark(this.plan.resource, initial.resourceVersion, true)])
    }
  })

  /** The events of the next changes to send, up to about 64 kB. */
  #pending(): ChunkBatch {
    const batch = new ChunkBatch()
    while (!batch.isFull) {
      const node = this.#position.next
      if (node === undefined) break
      this.#position = node
      if (!this.#matches(node)) continue
      if (this.#swapNext) {
        this.#swapNext = false
        this.#held = node
        continue
      }
      this.#add(batch, node)
      if (this.#held !== undefined) {
        this.#add(batch, this.#held)
        this.#held = undefined
      }
    }
    return batch
  }

  #add(batch: ChunkBatch, node: HistoryNode): void {
    if (node.change === undefined) return
    const event = this.#events.change(node.change.type, node.change.object, this.plan.bareObjects)
    batch.add(event)
    if (this.#duplicates === 0) return
    this.#duplicates -= 1
    batch.add(event)
  }

  #matches(node: HistoryNode): boolean {
    const { namespace, after } = this.plan
    const object = node.change?.object
    if (object === undefined || node.resourceVersion <= after) return false
    return namespace === undefined || (object.resource === "deployments" && object.namespace === namespace)
  }

  /** Performs a fault. Succeeds with whether it ended the watch. */
  readonly #perform = Effect.fnUntraced(function* (this: OpenWatch, fault: WatchFault) {
    const { resource } = this.plan
    switch (fault) {
      case "cut": {
        const object = this.#store.snapshot(resource).items[0]
        const event =
          object === undefined
            ? this.#events.bookmark(resource, this.#store.resourceVersion, false)
            : this.#events.change("MODIFIED", object, this.plan.bareObjects)
        yield* flushChunk(this.#response, event.slice(0, Math.floor(event.length / 2)))
        this.#response.destroy()
        return true
      }
      case "gone": {
        const version = this.#store.resourceVersion
        yield* writeChunks(this.#response, [this.#events.error(tooOldResourceVersion(this.plan.after, version))])
        this.#response.end()
        return true
      }
      case "close": {
        this.#response.end()
        return true
      }
      default: {
        yield* writeChunks(this.#response, this.#encoding.malformed[fault](resource))
        return false
      }
    }
  })
}
