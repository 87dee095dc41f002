import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"

/** Writes protobuf messages field by field. */
export class MessageWriter extends BinaryWriter {
  text(field: number, value: string): this {
    return this.tag(field, WireType.LengthDelimited).string(value)
  }

  /** An int32, an int64 or a bool: all have the same encoding. */
  integer(field: number, value: number): this {
    this.tag(field, WireType.Varint)
    return value >= 0 && value <= 0xffff_ffff ? this.uint32(value) : this.int64(value)
  }

  /** A length-delimited field with the bytes that `write` writes. */
  nested(field: number, write: (writer: this) => void): this {
    this.tag(field, WireType.LengthDelimited).fork()
    write(this)
    return this.join()
  }

  /** The fields of a message. Subclasses add fields here. */
  fields(write: (writer: this) => void): this {
    write(this)
    return this
  }

  /** A field that is a message. */
  message(field: number, write: (writer: this) => void): this {
    return this.nested(field, (writer) => writer.fields(write))
  }

  /** A field that is a map of strings. As in Go, the entries are sorted by key. */
  map(field: number, entries: Readonly<Record<string, string>>): this {
    for (const key of Object.keys(entries).toSorted()) {
      this.message(field, (writer) => writer.text(1, key).text(2, entries[key] ?? ""))
    }
    return this
  }
}

/** Writes unknown fields of every wire type before and after the fields of each message. */
export class UnknownFieldsWriter extends MessageWriter {
  override fields(write: (writer: this) => void): this {
    this.#unknownFields()
    write(this)
    this.#unknownFields()
    return this
  }

  #unknownFields(): void {
    this.integer(1001, -1)
      .tag(1002, WireType.Bit64)
      .fixed64(1)
      .text(1003, "unknown")
      .tag(1004, WireType.StartGroup)
      // Numbers of known fields. Within a group they have another meaning.
      .text(1, "unknown")
      .tag(2, WireType.StartGroup)
      .integer(6, 1)
      .tag(2, WireType.EndGroup)
      .tag(1004, WireType.EndGroup)
      .tag(1005, WireType.Bit32)
      .fixed32(1)
  }
}
