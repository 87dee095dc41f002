/**
 * How a setting is declared and read: its environment variable, its default, what it is for, and the schema its text must
 * pass.
 */
import { Config, Duration, Effect, Option, Redacted, Result, Schema, SchemaTransformation } from "effect"
import { SettingError } from "./SettingError.ts"

/** One environment variable: `fallback` is the text used where it is not set; without one the setting stays undefined. */
export interface Setting<A> {
  readonly name: string
  readonly description: string
  readonly fallback: string | undefined
  readonly allowed: string
  readonly secret: boolean
  readonly decode: (text: string) => Effect.Effect<A, Schema.SchemaError>
}

/** What a setting's text may be. `secret`: it is left out of errors. */
export type Kind<A> = { readonly allowed: string; readonly codec: Schema.Codec<A, string>; readonly secret?: true }

/** Any text but none. */
export const text: Kind<string> = { allowed: "any text", codec: Schema.NonEmptyString }
/** The path of a PEM file. */
export const file: Kind<string> = { allowed: "a path to a PEM file", codec: Schema.NonEmptyString }
/** A switch. */
export const yesOrNo: Kind<boolean> = {
  allowed: "true or false",
  codec: Schema.Literals(["true", "false"]).pipe(
    Schema.decodeTo(
      Schema.Boolean,
      SchemaTransformation.transform({
        decode: (word) => word === "true",
        encode: (value) => (value ? ("true" as const) : ("false" as const))
      })
    )
  )
}
/** One of these words. */
export const words = <const L extends ReadonlyArray<string>>(...literals: L): Kind<L[number]> => ({
  allowed: `one of ${literals.join(", ")}`,
  codec: Schema.Literals(literals)
})
/** A whole number between these, in decimal. */
export const integer = (minimum: number, maximum: number): Kind<number> => ({
  allowed: `a whole number ${minimum}..${maximum}`,
  codec: Schema.String.check(Schema.isPattern(/^[0-9]{1,10}$/)).pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum, maximum })),
      SchemaTransformation.transform({ decode: Number, encode: String })
    )
  )
})
const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const isUnit = (unit: string): unit is keyof typeof units => unit in units
/** A number and a unit. */
export const duration: Kind<Duration.Duration> = {
  allowed: "a duration such as 500ms, 30s, 5m or 1h",
  codec: Schema.String.check(Schema.isPattern(/^[0-9]{1,9}(?:ms|s|m|h|d)$/)).pipe(
    Schema.decodeTo(
      Schema.Duration,
      SchemaTransformation.transform({
        decode: (written) => {
          const unit = written.replace(/^[0-9]+/, "")
          return Duration.millis(Number.parseInt(written, 10) * (isUnit(unit) ? units[unit] : 1))
        },
        encode: (value) => `${Duration.toMillis(value)}ms`
      })
    )
  )
}

/** A setting; without a `fallback` it is undefined where it is not set. */
export const setting = <A>(
  name: string,
  kind: Kind<A>,
  fallback: string | undefined,
  description: string
): Setting<A> => ({
  name,
  description,
  fallback,
  allowed: kind.allowed,
  secret: kind.secret === true,
  decode: Schema.decodeEffect(kind.codec)
})

/** A time limit: where it is no time at all, nothing could be done within it. */
export const limit: Kind<Duration.Duration> = {
  allowed: "a duration above zero such as 500ms, 30s, 5m or 1h",
  codec: duration.codec.check(
    Schema.makeFilter((value: Duration.Duration) => Duration.toMillis(value) > 0, { expected: "a duration above zero" })
  )
}

/** An http or https URL. */
export const url: Kind<string> = {
  allowed: "an http or https URL",
  codec: Schema.String.check(
    Schema.isPattern(/^https?:\/\//),
    Schema.makeFilter((text: string) => URL.canParse(text), { expected: "a URL" })
  )
}

const isRedisUrl = (text: string): boolean => {
  const url = URL.parse(text)
  return (
    url !== null &&
    url.hostname !== "" &&
    url.search === "" &&
    url.hash === "" &&
    /^\/?$|^\/[0-9]{1,4}$/.test(url.pathname) &&
    Result.isSuccess(Result.try(() => decodeURIComponent(`${url.username}:${url.password}`)))
  )
}

/** The URL of a Redis server, which may hold a user, a password and the number of a database. */
export const redisUrl: Kind<Redacted.Redacted<string>> = {
  allowed: "a URL such as redis://user:password@host:6379/0, or rediss:// for TLS",
  secret: true,
  codec: Schema.String.check(
    Schema.isPattern(/^rediss?:\/\//),
    Schema.makeFilter(isRedisUrl, { expected: "a Redis server's URL" })
  ).pipe(Schema.decodeTo(Schema.RedactedFromValue(Schema.String)))
}

/** A part of one. */
export const ratio: Kind<number> = {
  allowed: "a number 0..1",
  codec: Schema.String.check(Schema.isPattern(/^(?:0|1|0?\.[0-9]{1,9}|1\.0{1,9})$/)).pipe(
    Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: Number, encode: String }))
  )
}

/** OpenTelemetry's form of header fields: `name=value,name=value`, the values percent-encoded. */
export const headers: Kind<Readonly<Record<string, string>>> = {
  allowed: "header fields such as name=value,name2=value2",
  secret: true,
  codec: Schema.String.check(Schema.isPattern(/^\s*[\w-]+\s*=[^,]*(?:,\s*[\w-]+\s*=[^,]*)*$/)).pipe(
    Schema.decodeTo(
      Schema.Record(Schema.String, Schema.String),
      SchemaTransformation.transform({
        decode: (written) =>
          Object.fromEntries(
            written.split(",").map((pair) => {
              const at = pair.indexOf("=")
              const value = pair.slice(at + 1).trim()
              return [
                pair.slice(0, at).trim(),
                Result.getOrElse(
                  Result.try(() => decodeURIComponent(value)),
                  () => value
                )
              ]
            })
          ),
        encode: (fields) =>
          Object.entries(fields)
            .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
            .join(",")
      })
    )
  )
}

/** The value of a setting, or undefined where it is not set and has no default. */
export const readOptional = <A>(self: Setting<A>): Effect.Effect<A | undefined, SettingError> =>
  Effect.gen(function* () {
    const given = yield* Config.option(Config.String(self.name)).pipe(
      Effect.mapError(
        (error) =>
          new SettingError({
            setting: self.name,
            value: undefined,
            problem: error.message,
            fix: `Set it to ${self.allowed}.`
          })
      )
    )
    // An empty variable is how a manifest or a shell says "not set".
    const written = Option.getOrUndefined(given)
    const value = written === undefined || written === "" ? self.fallback : written
    if (value === undefined) return undefined
    return yield* self.decode(value).pipe(
      Effect.mapError(
        () =>
          new SettingError({
            setting: self.name,
            value: self.secret ? "<not shown>" : value,
            problem: "not a value this setting can have",
            fix: `Set it to ${self.allowed}.`
          })
      )
    )
  })

/** The value of a setting that has a default. */
export const read = <A>(self: Setting<A>): Effect.Effect<A, SettingError> =>
  readOptional(self).pipe(
    Effect.flatMap((value) =>
      value === undefined ? Effect.die(new Error(`${self.name} has no default`)) : Effect.succeed(value)
    )
  )

/** The table of the documentation, made from the settings' own words. */
export const markdownOf = (settings: Readonly<Record<string, Setting<unknown>>>): string =>
  [
    "| setting | default | allowed | what it is for |",
    "| --- | --- | --- | --- |",
    ...Object.values(settings).map(
      ({ name, fallback, allowed, description }) =>
        `| \`${name}\` | ${fallback === undefined ? "" : `\`${fallback}\``} | ${allowed} | ${description} |`
    )
  ].join("\n")
