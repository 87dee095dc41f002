/**
 * How a program declares its settings.
 *
 * A setting is an Effect that reads and decodes one environment variable, and it carries the text that documents it. A
 * record of settings is therefore all that a program writes: `Effect.all` loads the record and derives its type,
 * `markdown` documents it.
 *
 * Effect's `Config` looks the variable up. It does not decode it: a `ConfigError` names neither the fix nor the value,
 * or quotes a value that may be a secret.
 */
import { Config, Effect, Effectable, Schema } from "effect"
import type { Kind } from "./Kind.ts"
import { SettingError } from "./SettingError.ts"

/** One setting. As an Effect it gives the decoded value. */
export class Setting<A> extends Effectable.Class<A, SettingError> {
  readonly name: string
  readonly kind: Kind<unknown>
  readonly description: string
  /** The text that is decoded where the variable is not set. */
  readonly fallback: string | undefined
  private readonly decode: (self: Setting<unknown>, text: string | undefined) => Effect.Effect<A, SettingError>

  constructor(
    declaration: Pick<Setting<A>, "name" | "kind" | "description" | "fallback">,
    decode: (self: Setting<unknown>, text: string | undefined) => Effect.Effect<A, SettingError>
  ) {
    super()
    this.name = declaration.name
    this.kind = declaration.kind
    this.description = declaration.description
    this.fallback = declaration.fallback
    this.decode = decode
  }

  override asEffect(): Effect.Effect<A, SettingError> {
    return Config.String(this.name).pipe(
      Config.withDefault(""),
      Effect.mapError((error) => this.error(undefined, error.message)),
      // Manifests and shells say "not set" with an empty variable.
      Effect.flatMap((text) => this.decode(this, text === "" ? this.fallback : text))
    )
  }

  /** The error of a program that cannot start with this value. */
  error(value: string | undefined, problem: string, fix = `Set it to ${this.kind.allowed}.`): SettingError {
    return new SettingError({
      setting: this.name,
      value: value !== undefined && this.kind.secret === true ? "<not shown>" : value,
      problem,
      fix
    })
  }
}

const declare = <A, B>(
  declaration: { readonly name: string; readonly kind: Kind<A>; readonly description: string },
  fallback: string | undefined,
  whenUnset: (self: Setting<unknown>) => Effect.Effect<B, SettingError>
): Setting<A | B> => {
  const decode = Schema.decodeEffect(declaration.kind.codec)
  return new Setting<A | B>({ ...declaration, fallback }, (self, text) =>
    text === undefined
      ? whenUnset(self)
      : Effect.mapError(decode(text), () => self.error(text, "not a value this setting can have"))
  )
}

/** A setting that a program cannot start without. */
export const required = <A>(name: string, kind: Kind<A>, description: string): Setting<A> =>
  declare({ name, kind, description }, undefined, (self) => Effect.fail(self.error(undefined, "it is needed")))

/** A setting that is `undefined` where it is not set. */
export const optional = <A>(name: string, kind: Kind<A>, description: string): Setting<A | undefined> =>
  declare({ name, kind, description }, undefined, () => Effect.succeed(undefined))

/** A setting with a default, which is written as in the environment. */
export const withDefault = <A>(name: string, kind: Kind<A>, fallback: string, description: string): Setting<A> =>
  declare({ name, kind, description }, fallback, (self) => Effect.die(new Error(`${self.name} has no default`)))

// The page explains durations once, and a cell holds a phrase.
const phraseOf = ({ allowed }: Kind<unknown>): string =>
  allowed.replace(/ such as .*$/, "").replace(/^(?:one of|a whole number|an?|any) /, "")

/** The table of a record of settings for the documentation. */
export const markdown = (settings: Readonly<Record<string, Setting<unknown>>>): string =>
  [
    "| setting | default | allowed | description |",
    "| --- | --- | --- | --- |",
    ...Object.values(settings).map(
      ({ name, fallback, kind, description }) =>
        `| \`${name}\` | ${fallback === undefined ? "" : `\`${fallback}\``} | ${phraseOf(kind)} | ${description} |`
    )
  ].join("\n")
