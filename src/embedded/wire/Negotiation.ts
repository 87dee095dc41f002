import type { RequestVerb } from "../KubeRoute.ts"
import { json } from "./JsonEncoding.ts"
import type { ObjectEncoding } from "./ObjectEncoding.ts"
import { protobuf } from "./ProtobufEncoding.ts"

/** A clause of an `Accept` header. */
interface Clause {
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
}

const quality = ({ parameters }: Clause): number => {
  const q = Number(parameters.get("q") ?? 1)
  return Number.isNaN(q) ? 1 : q
}

const wildcards = ({ type }: Clause): number => type.split("*").length - 1

const parseClause = (text: string): Clause => {
  const [type = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase())
  return {
    type,
    parameters: new Map(
      parameters.map((parameter) => {
        const [name = "", value = ""] = parameter.split("=").map((part) => part.trim())
        return [name, value] as const
      })
    )
  }
}

/** The clauses, sorted by `q`, then by the number of wildcards, then as in the header. */
const parseAccept = (accept: string): ReadonlyArray<Clause> =>
  accept
    .split(",")
    .map(parseClause)
    .toSorted((a, b) => quality(b) - quality(a) || wildcards(a) - wildcards(b))

const covers = ({ parameters, type }: Clause, { contentType }: ObjectEncoding, verb: RequestVerb | undefined) => {
  if (type !== contentType && type !== "application/*" && type !== "*/*") return false
  // The clause requests a conversion, such as to a Table.
  if (parameters.has("as")) return false
  const stream = parameters.get("stream") ?? ""
  return stream === "" || (stream === "watch" && verb === "watch")
}

/** The encodings available for a response. Protobuf is available for lists and watches, if the server offers it. */
export const encodingsOf = (verb: RequestVerb | undefined, offersProtobuf: boolean): ReadonlyArray<ObjectEncoding> =>
  offersProtobuf && (verb === "list" || verb === "watch") ? [json, protobuf] : [json]

/**
 * The encoding of the response to a request with this `Accept` header; undefined if none is acceptable. As in
 * kube-apiserver, a clause that covers several encodings selects the first. Unlike there, a clause with `stream=watch`
 * applies only to watches.
 */
export const negotiate = (
  accept: string,
  verb: RequestVerb | undefined,
  encodings: ReadonlyArray<ObjectEncoding>
): ObjectEncoding | undefined => {
  if (accept === "") return encodings[0]
  for (const clause of parseAccept(accept)) {
    const encoding = encodings.find((encoding) => covers(clause, encoding, verb))
    if (encoding !== undefined) return encoding
  }
  return undefined
}
