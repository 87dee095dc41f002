/**
 * Where an entry of the shared log stands: `<epoch>-<seq>`, the id of a Redis stream's entry. Each leader writes under an
 * epoch of its own, later than all before it, and numbers its entries from 0 without a gap.
 */
import { Option, Schema } from "effect"

/** One entry's place. */
export interface LogId {
  readonly epoch: number
  readonly seq: number
}

/** Before every entry. */
export const start: LogId = { epoch: 0, seq: 0 }

/** As Redis writes it. */
export const format = ({ epoch, seq }: LogId): string => `${epoch}-${seq}`

const decode = Schema.decodeUnknownOption(Schema.String.check(Schema.isPattern(/^[0-9]{1,15}-[0-9]{1,15}$/)))

/** Reads what Redis gives as an id; none where it cannot be one of this log. */
export const parse = (id: unknown): Option.Option<LogId> =>
  Option.map(decode(id), (text) => {
    const at = text.indexOf("-")
    return { epoch: Number(text.slice(0, at)), seq: Number(text.slice(at + 1)) }
  })

/** Whether `a` comes after `b`. */
export const isAfter = (a: LogId, b: LogId): boolean => a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)

/** Whether `next` can come right after `before` with nothing between them. */
export const follows = (next: LogId, before: LogId): boolean =>
  next.epoch === before.epoch ? next.seq === before.seq + 1 : next.epoch > before.epoch && next.seq === 0
