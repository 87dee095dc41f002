/**
 * One event stream (SSE): snapshots and changes of a target.
 *
 * A stream remembers the names of what has changed since its last event, and reads their values from the view when it sends
 * them. So a slow consumer gets the newest values, and its memory is bounded by the names; beyond `mostChanges` of them it
 * gets a new snapshot.
 */
import type { OutgoingHttpHeaders, ServerResponse } from "node:http"
import type { Body } from "../../cache/Body.ts"
import { changeItems } from "../../cache/ChangeItems.ts"
import type { ClusterCache } from "../../cache/ClusterCache.ts"
import type { ClusterView } from "../../cache/ClusterView.ts"
import * as StateVersion from "../../cache/StateVersion.ts"
import type { Changed } from "../../cache/Subscriptions.ts"
import type { Target } from "../../cache/Target.ts"
import { versionComment } from "../../contract/Events.ts"
import type { ResponseBytes } from "../../limits/ResponseBytes.ts"
import type { DeploymentRef } from "../../model/ReadModel.ts"
import type { End, HeldRequest, HeldResponse } from "./HeldResponse.ts"

/** The number of changed names that a stream remembers. */
const mostChanges = 1000

/** The time without an event after which a comment is sent. */
const commentMillis = 15_000

/** How long a stream waits for a state as new as the client's, while the service hears from the cluster. */
const behindMillis = 10_000

/** The length of a piece of a snapshot. The next one is written after the client has taken it. */
const pieceBytes = 65_536

/** Why a stream ended. `closed`: by the client. `stalled`: the client did not read. */
export type StreamEnd = End["reason"] | "max_age" | "gone" | "closed" | "stalled" | "behind"

/** Whether the connection was closed, by the client or without a last event. */
export const isCutOff = (end: StreamEnd): boolean =>
  end === "closed" || end === "stalled" || end === "behind" || end === "superseded" || end === "unavailable"

/** The last state that a reconnecting client has seen. */
export interface Resumption {
  readonly lastEventId: string | undefined
  readonly lastVersion: string | undefined
}

/**
 * Sends the head of a stream. The body ends with the connection: chunks would cost a third more CPU for each event (31 µs
 * instead of 23).
 */
export const sendHead = (response: ServerResponse, headers: OutgoingHttpHeaders): void => {
  response.removeHeader("transfer-encoding")
  response.shouldKeepAlive = false
  response.writeHead(200, headers)
}

/** Settings and services that all streams share. */
export interface StreamContext {
  readonly cache: ClusterCache["Service"]
  readonly responseBytes: ResponseBytes["Service"]
  readonly maxAgeMillis: number
  readonly responseTimeoutMillis: number
  /** The text of the last change, which the streams of a target send alike. */
  readonly rendered: RenderedChange
  /** Continues the stream soon. */
  readonly wake: (stream: EventStream) => void
  readonly sent: (event: "snapshot" | "change") => void
}

/** Memoizes the text of the changes since `first` in a view, for targets of one kind. */
export interface RenderedChange {
  first: Changed
  view: ClusterView | undefined
  tag: Target["_tag"] | undefined
  text: string
}

/** An event stream over a response whose head has been sent. `done` is called once, when it has ended. */
export class EventStream implements HeldResponse {
  readonly kind = "stream"
  readonly held: HeldRequest
  /** The bytes of the body so far. */
  bytes = 0
  private readonly context: StreamContext
  private readonly done: (end: StreamEnd, bytes: number) => void
  private readonly endsAt: number
  private readonly since = performance.now()
  private waitsFor: string | undefined
  private sentTag: string | undefined
  /** The changes since `sentTag`; "unknown" asks for a snapshot. The streams of a target share the objects. */
  private pending: Array<NonNullable<Changed>> | "unknown" = "unknown"
  private pendingNames = 0
  private readonly pieces: Array<string | Uint8Array> = []
  private release: (() => void) | undefined
  /** Since when the client has not read all of an event. */
  private blockedSince: number | undefined
  private isBlocked = false
  private wroteAt = performance.now()
  private isOver = false

  constructor(
    held: HeldRequest,
    { lastEventId, lastVersion }: Resumption,
    context: StreamContext,
    done: (end: StreamEnd, bytes: number) => void
  ) {
    this.held = held
    this.context = context
    this.done = done
    this.endsAt = this.since + context.maxAgeMillis * (0.5 + Math.random() / 2)
    this.sentTag = lastEventId
    this.waitsFor = lastVersion
    held.response.once("close", () => this.finish("closed"))
    this.write(`retry: ${1000 + Math.floor(Math.random() * 2000)}\n\n`)
  }

  /** Notes a change. */
  readonly changed = (changed: Changed): void => {
    if (this.pending !== "unknown") {
      this.pendingNames += changed === undefined ? 0 : changed.deployments.length + changed.namespaces.size
      if (changed === undefined || this.pendingNames > mostChanges) this.pending = "unknown"
      else this.pending.push(changed)
    }
    this.context.wake(this)
  }

  /** Sends what has changed, unless the client still has to read. */
  proceed(): void {
    if (this.isOver || this.isBlocked) return
    const view = this.context.cache.current()
    if (!this.isBehind(view)) this.sendNews(view)
    if (!this.isOver && performance.now() - this.wroteAt >= commentMillis) this.write(":\n\n")
  }

  private sendNews(view: ClusterView): void {
    const etag = this.held.read.tag(view)
    if (etag === undefined) return this.finish("gone")
    const { pending, sentTag } = this
    this.pending = []
    this.pendingNames = 0
    this.sentTag = etag
    if (etag === sentTag) return
    if (pending !== "unknown" && pending.length > 0) this.sendChange(view, etag, pending)
    else if (!this.sendSnapshot(view, etag)) {
      this.pending = "unknown"
      this.sentTag = sentTag
    }
  }

  crash(): void {
    this.held.response.destroy()
  }

  tick(now: number): void {
    if (now >= this.endsAt) return this.finish("max_age")
    if (this.blockedSince !== undefined) {
      if (now - this.blockedSince > this.context.responseTimeoutMillis) this.finish("stalled")
      return
    }
    if (this.hasNews || now - this.wroteAt >= commentMillis) this.context.wake(this)
  }

  end({ reason }: End): void {
    this.finish(reason)
  }

  /** Ends without an event, as when the request's fiber is interrupted. */
  cancel(): void {
    this.finish("closed")
  }

  private get hasNews(): boolean {
    return this.pending === "unknown" || this.pending.length > 0
  }

  /** Whether the client has seen a newer state. Ends the stream if that lasts while the cluster is not heard. */
  private isBehind(view: ClusterView): boolean {
    const { waitsFor } = this
    if (waitsFor === undefined) return false
    if (StateVersion.isBehind(view, this.held.read.target, waitsFor)) {
      if (performance.now() - this.since < behindMillis) return true
      if (this.context.cache.age() > 0) {
        this.finish("behind")
        return true
      }
      // The cluster is heard and has not reached the version: it was restored from a backup.
    }
    this.waitsFor = undefined
    return false
  }

  /** Returns whether there was room for a large snapshot. */
  private sendSnapshot(view: ClusterView, etag: string): boolean {
    const { identity, read } = this.held
    const body = read.find(view)
    if (body === undefined) return false
    if (typeof body !== "string") {
      this.release = this.context.responseBytes.reserve(identity.user, body.length)
      if (this.release === undefined) return false
    }
    this.context.sent("snapshot")
    this.write(...this.event("snapshot", view, etag, body))
    return true
  }

  private sendChange(view: ClusterView, etag: string, pending: ReadonlyArray<NonNullable<Changed>>): void {
    this.context.sent("change")
    const { rendered } = this.context
    const { target } = this.held.read
    const [first] = pending
    // The streams of a target are told of the same changes. Those that have waited since the same one send the same text.
    if (rendered.first !== first || rendered.view !== view || rendered.tag !== target._tag) {
      const namespaces = new Set(pending.flatMap((changed) => [...changed.namespaces]))
      const deployments = new Map(pending.flatMap((changed) => changed.deployments.map((ref) => [keyOf(ref), ref])))
      const items = changeItems(view, target, namespaces, deployments.values())
      rendered.text = this.event("change", view, etag, items).join("")
      rendered.first = first
      rendered.view = view
      rendered.tag = target._tag
    }
    this.write(rendered.text)
  }

  private event(name: string, view: ClusterView, etag: string, data: Body): ReadonlyArray<string | Uint8Array> {
    const version = StateVersion.versionOf(view, this.held.read.target)
    const start = `event: ${name}\nid: ${etag}\ndata: `
    const end = version === undefined ? "\n\n" : `\n${versionComment(version)}\n\n`
    return typeof data === "string" ? [start + data + end] : [start, data, end]
  }

  private write(...written: ReadonlyArray<string | Uint8Array>): void {
    for (const piece of written) {
      for (let at = 0; at < piece.length; at += pieceBytes) {
        this.pieces.push(
          typeof piece === "string" ? piece.slice(at, at + pieceBytes) : piece.subarray(at, at + pieceBytes)
        )
      }
    }
    if (!this.isBlocked) this.drain()
  }

  private drain(): void {
    const { response } = this.held
    this.wroteAt = performance.now()
    for (let piece = this.pieces.shift(); piece !== undefined; piece = this.pieces.shift()) {
      this.bytes += piece.length
      if (response.write(piece, "latin1")) continue
      this.isBlocked = true
      this.blockedSince ??= this.wroteAt
      response.once("drain", () => {
        this.isBlocked = false
        this.drain()
      })
      return
    }
    this.blockedSince = undefined
    this.release?.()
    this.release = undefined
    if (this.hasNews) this.context.wake(this)
  }

  private finish(end: StreamEnd): void {
    if (this.isOver) return
    this.isOver = true
    this.release?.()
    const { response } = this.held
    if (!isCutOff(end) && !this.isBlocked && this.pieces.length === 0) {
      const text = `event: end\ndata: {"reason":"${end}"}\n\n`
      this.bytes += text.length
      response.end(text, "latin1")
    } else {
      response.destroy()
    }
    this.pieces.length = 0
    this.done(end, this.bytes)
  }
}

const keyOf = ({ name, namespace }: DeploymentRef): string => `${namespace}/${name}`
