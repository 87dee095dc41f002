import { MessageReader, type Span } from "./ProtobufMessages.ts"

/** Received bytes that have not been read. Keeps the received chunks, with a reader for each. */
export class ByteQueue {
  private readonly readers: Array<MessageReader> = []
  /** The position in the first chunk. */
  private from = 0
  /** The number of bytes. */
  length = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.readers.push(new MessageReader(chunk))
    this.length += chunk.length
  }

  /** The first `count` bytes, or all if there are fewer. Copies bytes only if they span chunks. */
  peek(count: number): Span {
    const [first] = this.readers
    const { from } = this
    const wanted = Math.min(count, this.length)
    if (first !== undefined && first.len - from >= wanted) return { reader: first, start: from, end: from + wanted }
    return { reader: new MessageReader(this.copy(wanted)), start: 0, end: wanted }
  }

  /** Removes the first `count` bytes, or all if there are fewer. Returns how many it removed. */
  skip(count: number): number {
    const skipped = Math.min(count, this.length)
    this.length -= skipped
    this.from += skipped
    let passed = 0
    for (const { len } of this.readers) {
      if (this.from < len) break
      this.from -= len
      passed += 1
    }
    // All at once: to remove the first of many chunks moves the others.
    if (passed > 0) this.readers.splice(0, passed)
    return skipped
  }

  /** Removes the first `count` bytes and returns them, as `peek` does. There must be as many. */
  take(count: number): Span {
    const span = this.peek(count)
    this.skip(count)
    return span
  }

  private copy(count: number): Uint8Array {
    const bytes = new Uint8Array(count)
    let filled = 0
    let { from } = this
    for (const { buffer: chunk } of this.readers) {
      const part = chunk.subarray(from, from + count - filled)
      bytes.set(part, filled)
      filled += part.length
      from = 0
      if (filled === count) break
    }
    return bytes
  }
}
