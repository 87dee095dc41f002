import { Data, Effect, FileSystem, Path, Result, Schema, SchemaAST, type SchemaIssue } from "effect"
import { closestMatch } from "leven"
import { Policy } from "./Policy.ts"
import { type Flaw, parseYaml, type YamlText } from "./YamlText.ts"

/** The largest policy file, in bytes: some thousand rules. Parsing one blocks requests for up to a second. */
export const maxPolicyBytes = 262_144

/** How many problems of a file are reported. */
export const maxProblems = 20

/** A policy file that cannot be used: the first problems, in the order of the file, and the number of further ones. */
export class PolicyError extends Data.TaggedError("PolicyError")<{
  readonly problems: ReadonlyArray<string>
  readonly more: number
}> {
  override get message(): string {
    return this.problems.join("; ") + (this.more === 0 ? "" : `; and ${this.more} more`)
  }
}

const whole = (problem: string) => new PolicyError({ problems: [problem], more: 0 })

/** Quotes a value in one short line. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 60)}...` : text
}

const written = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : `${text}${text === "" ? "" : "."}${String(key)}`),
    ""
  )

const unknownKey = (key: string, ast: SchemaAST.AST): string => {
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
    case "Filter":
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
    case "InvalidType":
    case "AnyOf":
    case "OneOf":
      return here(wrongType(issue.ast, issue.input))
    case "Forbidden":
      return here("this is not allowed")
  }
}

const decode = Schema.decodeUnknownResult(Policy, { errors: "all", onExcessProperty: "error", reportInput: true })

const located = (name: string, flaws: ReadonlyArray<Flaw | Located>): PolicyError => {
  const sorted = flaws.toSorted((a, b) => a.position.offset - b.position.offset)
  return new PolicyError({
    problems: sorted.slice(0, maxProblems).map((flaw) => {
      const path = "path" in flaw && flaw.path.length > 0 ? ` ${written(flaw.path)}:` : ""
      return `${name}:${flaw.position.line}:${flaw.position.column}${path} ${flaw.problem}`
    }),
    more: Math.max(0, sorted.length - maxProblems)
  })
}

/**
 * Decodes a policy from YAML or JSON. Each problem names the file `name`, line, column and field:
 * `policy.yaml:7:5 rules[1].verbs[0]: "delete" is not one of list, get, set`.
 */
export const decodePolicy = (name: string, text: string): Result.Result<Policy, PolicyError> => {
  if (Buffer.byteLength(text) > maxPolicyBytes)
    return Result.fail(whole(`${name} has more than ${maxPolicyBytes} bytes`))
  return Result.flatMap(
    Result.mapError(parseYaml(text), (flaws) => located(name, flaws)),
    (yaml) => Result.mapError(decode(yaml.value), ({ issue }) => located(name, problemsOf(yaml, issue)))
  )
}

/** Reads and decodes a policy file. */
export const loadPolicy = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Policy, PolicyError, FileSystem.FileSystem | Path.Path> {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const unreadable = Effect.mapError((error: { readonly reason: { readonly _tag: string } }) =>
    whole(error.reason._tag === "NotFound" ? "there is no such file" : `the file cannot be read (${error.reason._tag})`)
  )
  const { size } = yield* unreadable(fileSystem.stat(file))
  const name = path.basename(file)
  if (size > maxPolicyBytes) return yield* whole(`${name} has more than ${maxPolicyBytes} bytes`)
  const text = yield* unreadable(fileSystem.readFileString(file))
  return yield* Effect.fromResult(decodePolicy(name, text))
})
