/** YAML and JSON files with a schema. Each problem names line and column. */
import { Data, Effect, FileSystem, Path, Result, Schema, SchemaAST, type SchemaIssue } from "effect"
import { closestMatch } from "leven"
import type { Setting } from "./Setting.ts"
import type { SettingError } from "./SettingError.ts"
import { type Flaw, parseYaml, type YamlText } from "./YamlText.ts"

/** The maximum number of problems reported for a file. */
export const maxProblems = 20

/** The maximum number of problems that the startup error lists. */
const listed = 3

/** An invalid file: its first problems in file order, and the number of further problems. */
export class YamlFileError extends Data.TaggedError("YamlFileError")<{
  readonly problems: ReadonlyArray<string>
  readonly more: number
}> {
  override get message(): string {
    return this.problems.join("; ") + (this.more === 0 ? "" : `; and ${this.more} more`)
  }
}

/** The startup error for an invalid file that `setting` names. */
export const cannotStart =
  (setting: Setting<unknown>, file: string, fix: string) =>
  ({ more, problems }: YamlFileError): SettingError => {
    const others = problems.length - listed + more
    return setting.error(file, problems.slice(0, listed).join("; ") + (others > 0 ? `; and ${others} more` : ""), fix)
  }

const whole = (problem: string) => new YamlFileError({ problems: [problem], more: 0 })

/** Quotes a value on one short line. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

/** A key of a path. It is quoted if it contains a line break or is longer than any Kubernetes name. */
const shownKey = (key: string): string => (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(key) || key.length > 253 ? shown(key) : key)

const written = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : `${text}${text === "" ? "" : "."}${shownKey(String(key))}`,
    ""
  )

/** A key that is no field of a struct, or that the keys of a record exclude: then the record's annotation explains it. */
const unknownKey = (key: string, ast: SchemaAST.AST): string => {
  const explained = ast.annotations?.["messageUnexpectedKey"]
  if (typeof explained === "string") return explained
  const known = SchemaAST.isObjects(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []
  const byLowerCase = new Map(known.map((name) => [name.toLowerCase(), name]))
  const nearest = closestMatch(key.slice(0, 40).toLowerCase(), [...byLowerCase.keys()], { maxDistance: 2 })
  return nearest === undefined
    ? `unknown key; the known ones are ${known.join(", ")}`
    : `unknown key; did you mean ${byLowerCase.get(nearest)}?`
}

const wrongType = (ast: SchemaAST.AST, input: unknown): string => {
  switch (ast._tag) {
    case "Arrays":
      return `${shown(input)} is not a list`
    case "Objects":
      return `${shown(input)} is not a mapping`
    case "String":
      return `${shown(input)} is not text: put it in quotes`
    case "Number":
      return `${shown(input)} is not a number`
    case "Boolean":
      return `${shown(input)} is neither true nor false`
    default:
      return `${shown(input)} is not ${String(ast.annotations?.["expected"])}`
  }
}

interface Located extends Flaw {
  readonly path: ReadonlyArray<PropertyKey>
}

const problemsOf = (
  yaml: YamlText,
  issue: SchemaIssue.Issue,
  path: ReadonlyArray<PropertyKey> = []
): ReadonlyArray<Located> => {
  const here = (problem: string): ReadonlyArray<Located> => [{ path, position: yaml.valueAt(path), problem }]
  switch (issue._tag) {
    case "Pointer":
      return problemsOf(yaml, issue.issue, [...path, ...issue.path])
    case "Filter": {
      const { annotations } = issue.filter
      const explained = issue.issue._tag !== "InvalidValue" || typeof issue.issue.annotations?.message === "string"
      if (explained || annotations?.expected === undefined) return problemsOf(yaml, issue.issue, path)
      return here(`${shown(issue.input)} is not ${annotations.expected}`)
    }
    case "Encoding":
      return problemsOf(yaml, issue.issue, path)
    case "Composite":
      return issue.issues.flatMap((one) => problemsOf(yaml, one, path))
    case "UnexpectedKey":
      return [{ path, position: yaml.keyAt(path), problem: unknownKey(String(path.at(-1)), issue.ast) }]
    case "MissingKey":
      return here("is missing")
    case "InvalidValue":
      return here(typeof issue.annotations?.message === "string" ? issue.annotations.message : "this is not valid")
    case "AnyOf":
      // The member of the union that accepts this type has already reported the problems inside the value.
      return issue.issues.length > 0
        ? issue.issues.flatMap((one) => problemsOf(yaml, one, path))
        : here(wrongType(issue.ast, issue.input))
    case "InvalidType":
    case "OneOf":
      return here(wrongType(issue.ast, issue.input))
    case "Forbidden":
      return here("this is not allowed")
  }
}

const located = (name: string, flaws: ReadonlyArray<Flaw | Located>): YamlFileError => {
  const sorted = flaws.toSorted((a, b) => a.position.offset - b.position.offset)
  return new YamlFileError({
    problems: sorted.slice(0, maxProblems).map((flaw) => {
      const path = "path" in flaw && flaw.path.length > 0 ? ` ${written(flaw.path)}:` : ""
      return `${name}:${flaw.position.line}:${flaw.position.column}${path} ${flaw.problem}`
    }),
    more: Math.max(0, sorted.length - maxProblems)
  })
}

/** One kind of file. */
export interface YamlFile<A> {
  /**
   * Decodes a YAML or JSON text. Each problem names the file `name`, line, column and field:
   * `policy.yaml:7:5 rules[1].verbs[0]: "delete" is not one of list, get, set`.
   */
  readonly decode: (name: string, text: string) => Result.Result<A, YamlFileError>
  /** Reads and decodes a file. */
  readonly load: (file: string) => Effect.Effect<A, YamlFileError, FileSystem.FileSystem | Path.Path>
}

/** Files of at most `maxBytes` bytes that `schema` describes. */
export const make = <A>(schema: Schema.Codec<A, unknown>, maxBytes: number): YamlFile<A> => {
  const tooLarge = (name: string) => whole(`${name} has more than ${maxBytes} bytes`)
  const decodeValue = Schema.decodeUnknownResult(schema, {
    errors: "all",
    onExcessProperty: "error",
    reportInput: true
  })

  const decode = (name: string, text: string): Result.Result<A, YamlFileError> => {
    if (Buffer.byteLength(text) > maxBytes) return Result.fail(tooLarge(name))
    return Result.flatMap(
      Result.mapError(parseYaml(text), (flaws) => located(name, flaws)),
      (yaml) => Result.mapError(decodeValue(yaml.value), ({ issue }) => located(name, problemsOf(yaml, issue)))
    )
  }

  const load = Effect.fnUntraced(function* (
    file: string
  ): Effect.fn.Return<A, YamlFileError, FileSystem.FileSystem | Path.Path> {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const unreadable = Effect.mapError(({ reason }: { readonly reason: { readonly _tag: string } }) =>
      whole(reason._tag === "NotFound" ? "there is no such file" : `the file cannot be read (${reason._tag})`)
    )
    const { size } = yield* unreadable(fileSystem.stat(file))
    const name = path.basename(file)
    if (size > maxBytes) return yield* tooLarge(name)
    const text = yield* unreadable(fileSystem.readFileString(file))
    return yield* Effect.fromResult(decode(name, text))
  })

  return { decode, load }
}
