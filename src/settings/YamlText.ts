import { Result } from "effect"
import { isMap, isNode, isScalar, isSeq, LineCounter, type Pair, parseAllDocuments, visit, type YAMLMap } from "yaml"

/** A position in a text. Lines and columns count from 1, `offset` from 0. */
export interface Position {
  readonly offset: number
  readonly line: number
  readonly column: number
}

/** A problem of a text, with its position. */
export interface Flaw {
  readonly position: Position
  readonly problem: string
}

/** A parsed YAML text, with the positions of its parts. */
export interface YamlText {
  readonly value: unknown
  /** The position of the value at a path, or of its nearest ancestor. */
  readonly valueAt: (path: ReadonlyArray<PropertyKey>) => Position
  /** The position of a mapping's key, the last element of `path`. */
  readonly keyAt: (path: ReadonlyArray<PropertyKey>) => Position
}

/** YAML 1.1 and 1.2 read other spellings differently: 010 is 8 or 10. */
const plainNumber = /^(?:0|-?[1-9][0-9]*)$/

const start: Position = { offset: 0, line: 1, column: 1 }

const explain = (code: string, message: string): string => {
  switch (code) {
    case "BAD_ALIAS":
      return `a * or & that is not in quotes begins an alias of YAML: write "*"`
    case "RESOURCE_EXHAUSTION":
      return "nested too deeply"
    case "TAG_RESOLVE_FAILED":
      return "tags of YAML (!) are not taken"
    default:
      return message.charAt(0).toLowerCase() + message.slice(1)
  }
}

const parse = (text: string): Result.Result<YamlText, ReadonlyArray<Flaw>> => {
  const lines = new LineCounter()
  const at = (offset: number): Position => {
    const { col, line } = lines.linePos(offset)
    return { offset, line: Math.max(1, line), column: Math.max(1, col) }
  }
  const ofNode = (node: unknown): Position => (isNode(node) && node.range ? at(node.range[0]) : start)
  const [document, ...others] = parseAllDocuments(text, {
    lineCounter: lines,
    version: "1.2",
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    // Checked below, because the parser's own check is quadratic.
    uniqueKeys: false,
    prettyErrors: false
  })
  if (document === undefined) return Result.fail([{ position: start, problem: "the file is empty" }])
  const flaws: Array<Flaw> = [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
    position: at(pos[0]),
    problem: explain(code, message)
  }))
  const second = others[0]
  if (second !== undefined) {
    flaws.push({ position: at(second.range[0]), problem: "a second document begins: only one is taken" })
  }
  if (flaws.length > 0) return Result.fail(flaws)
  visit(document, {
    // Aliases can expand to any size, and their values have no position of their own.
    Alias: (_, alias) => {
      flaws.push({ position: ofNode(alias), problem: `the alias *${alias.source} is not taken: write its value` })
    },
    Scalar: (_, { range, source, value }) => {
      if (typeof value !== "number" || source === undefined || plainNumber.test(source)) return
      const position = at(range?.[0] ?? 0)
      flaws.push({ position, problem: `${source} is not a plain decimal number; put text in quotes` })
    },
    Map: (_, map) => {
      const seen = new Set<string>()
      for (const { key } of map.items) {
        const name = isScalar(key) ? String(key.value) : ""
        if (seen.has(name))
          flaws.push({ position: ofNode(key), problem: `the key ${JSON.stringify(name)} is there twice` })
        seen.add(name)
      }
    }
  })
  if (flaws.length > 0) return Result.fail(flaws)

  const indexes = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>()
  const pairAt = (map: YAMLMap, key: PropertyKey | undefined): Pair | undefined => {
    let index = indexes.get(map)
    if (index === undefined) {
      index = new Map(map.items.map((pair) => [isScalar(pair.key) ? String(pair.key.value) : "", pair]))
      indexes.set(map, index)
    }
    return index.get(String(key))
  }
  const nodeAt = (path: ReadonlyArray<PropertyKey>): unknown => {
    let node: unknown = document.contents
    for (const key of path) {
      const child = isSeq(node) ? node.items[Number(key)] : isMap(node) ? pairAt(node, key)?.value : undefined
      if (!isNode(child)) break
      node = child
    }
    return node
  }
  return Result.succeed({
    value: document.toJS({ maxAliasCount: 0 }),
    valueAt: (path) => ofNode(nodeAt(path)),
    keyAt: (path) => {
      const map = nodeAt(path.slice(0, -1))
      return ofNode(isMap(map) ? pairAt(map, path.at(-1))?.key : map)
    }
  })
}

/** Parses one YAML or JSON document. Rejects what would surprise a reader: duplicate keys, aliases, tags, more documents. */
export const parseYaml = (text: string): Result.Result<YamlText, ReadonlyArray<Flaw>> =>
  Result.flatMap(
    Result.try({
      try: () => parse(text),
      // The parser is recursive, and so are its readers: deep nesting overflows the stack.
      catch: (error): ReadonlyArray<Flaw> => [
        { position: start, problem: error instanceof RangeError ? "nested too deeply" : "this cannot be parsed" }
      ]
    }),
    (result) => result
  )
