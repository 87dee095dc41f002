/** Bytes that arrived and have not been read, in the chunks in which they arrived. */
export class ByteQueue {
  private readonly chunks: Array<Uint8Array> = []
  /** The position in the first chunk. */
  private from = 0
  /** The number of bytes. */
  length = 0

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.chunks.push(chunk)
    this.length += chunk.length
  }

  /** The first `count` bytes, or all if there are fewer. Copies them only if they span chunks. */
  peek(count: number): Uint8Array {
    const [first] = this.chunks
    const wanted = Math.min(count, this.length)
    if (first !== undefined && first.length - this.from >= wanted) return first.subarray(this.from, this.from + wanted)
    const bytes = new Uint8Array(wanted)
    let filled = 0
    let from = this.from
    for (const chunk of this.chunks) {
      const part = chunk.subarray(from, from + wanted - filled)
      bytes.set(part, filled)
      filled += part.length
      from = 0
      if (filled === wanted) break
    }
    return bytes
  }

  /** Removes the first `count` bytes, or all if there are fewer. Returns how many it removed. */
  skip(count: number): number {
    const skipped = Math.min(count, this.length)
    this.length -= skipped
    this.from += skipped
    for (let first = this.chunks[0]; first !== undefined && this.from >= first.length; first = this.chunks[0]) {
      this.from -= first.length
      this.chunks.shift()
    }
    return skipped
  }

  /** Removes the first `count` bytes, of which there must be as many. Copies them only if they span chunks. */
  take(count: number): Uint8Array {
    const bytes = this.peek(count)
    this.skip(count)
    return bytes
  }
}
