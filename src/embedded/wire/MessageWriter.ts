import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"

/** Writes the fields of nested messages. */
export class MessageWriter extends BinaryWriter {
  text(field: number, value: string): this {
    return this.tag(field, WireType.LengthDelimited).string(value)
  }

  /** An int32, an int64 or a bool: all have the same encoding. */
  integer(field: number, value: number): this {
    this.tag(field, WireType.Varint)
    return value >= 0 && value <= 0xffff_ffff ? this.uint32(value) : this.int64(value)
  }

  /** A field of bytes that `write` writes. */
  nested(field: number, write: (writer: this) => void): this {
    this.tag(field, WireType.LengthDelimited).fork()
    write(this)
    return this.join()
  }

  /** A field that is a message. */
  message(field: number, write: (writer: this) => void): this {
    return this.nested(field, write)
  }

  /** A field that is a map of strings. As in Go, the entries are in the order of their keys. */
  map(field: number, entries: Readonly<Record<string, string>>): this {
    for (const key of Object.keys(entries).toSorted()) {
      this.message(field, (writer) => writer.text(1, key).text(2, entries[key] ?? ""))
    }
    return this
  }
}
