/** The kinds of text that a setting takes: their names in the documentation, and their codecs. */
import { Duration, type Redacted, Result, Schema, SchemaTransformation } from "effect"
import { isIPv6 } from "node:net"
import { NamespaceName } from "../contract/Names.ts"

/** One kind of text. No error and no log quotes the text of a `secret` kind. */
export interface Kind<A> {
  readonly allowed: string
  readonly codec: Schema.Codec<A, string>
  readonly secret?: true
}

const pattern = (form: RegExp) => Schema.String.check(Schema.isPattern(form))

/** Any text except the empty one, which means "not set". */
export const text: Kind<string> = { allowed: "any text", codec: Schema.NonEmptyString }

/** A secret of one line. A line break is refused: it is mostly the last character of the file that the secret was read from. */
export const secret: Kind<Redacted.Redacted<string>> = {
  allowed: "text without a line break",
  secret: true,
  codec: pattern(/^[^\r\n]+$/).pipe(Schema.decodeTo(Schema.RedactedFromValue(Schema.String)))
}

/** The path of a PEM file. */
export const pemFile: Kind<string> = { allowed: "a path to a PEM file", codec: Schema.NonEmptyString }

/** The path of a YAML or JSON file. */
export const yamlFile: Kind<string> = { allowed: "a path to a YAML or JSON file", codec: Schema.NonEmptyString }

/** One of a fixed list of words. */
export const oneOf = <const L extends ReadonlyArray<string>>(...literals: L): Kind<L[number]> => ({
  allowed: `one of ${literals.join(", ")}`,
  codec: Schema.Literals(literals)
})

/** A boolean. */
export const boolean: Kind<boolean> = {
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

/** A decimal integer between two bounds, which are allowed too. */
export const integer = (minimum: number, maximum: number): Kind<number> => ({
  allowed: `a whole number ${minimum}..${maximum}`,
  codec: pattern(/^[0-9]{1,10}$/).pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum, maximum })),
      SchemaTransformation.transform({ decode: Number, encode: String })
    )
  )
})

/** A number between 0 and 1. */
export const ratio: Kind<number> = {
  allowed: "a number 0..1",
  codec: pattern(/^(?:0|1|0?\.[0-9]{1,9}|1\.0{1,9})$/).pipe(
    Schema.decodeTo(Schema.Finite, SchemaTransformation.transform({ decode: Number, encode: String }))
  )
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const isUnit = (unit: string): unit is keyof typeof units => unit in units

/** A number with a unit. Effect's own `Config.Duration` takes `5 seconds` instead of the `5s` that Kubernetes users write. */
export const duration: Kind<Duration.Duration> = {
  allowed: "a duration such as 500ms, 30s, 5m or 1h",
  codec: pattern(/^[0-9]{1,9}(?:ms|s|m|h|d)$/).pipe(
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

const durationWhere = (allowed: string, holds: (value: Duration.Duration) => boolean): Kind<Duration.Duration> => ({
  allowed,
  codec: duration.codec.check(Schema.makeFilter(holds, { expected: allowed }))
})

/** A duration that is not zero: nothing can happen within a timeout of zero. */
export const timeout = durationWhere("a duration above zero such as 500ms, 30s, 5m or 1h", (value) =>
  Duration.isGreaterThan(value, Duration.zero)
)

/** A lease: shorter than a second it would expire between two renewals. */
export const lease = durationWhere("a duration of 1s..1h", (value) =>
  Duration.between(value, { minimum: Duration.seconds(1), maximum: Duration.hours(1) })
)

/** An http or https URL. */
export const url: Kind<string> = {
  allowed: "an http or https URL",
  codec: pattern(/^https?:\/\//).check(Schema.makeFilter((text: string) => URL.canParse(text), { expected: "a URL" }))
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

/** The URL of a Redis server, optionally with a user, a password and a database number. */
export const redisUrl: Kind<Redacted.Redacted<string>> = {
  allowed: "a URL such as redis://user:password@host:6379/0, or rediss:// for TLS",
  secret: true,
  codec: pattern(/^rediss?:\/\//)
    .check(Schema.makeFilter(isRedisUrl, { expected: "a Redis server's URL" }))
    .pipe(Schema.decodeTo(Schema.RedactedFromValue(Schema.String)))
}

/** A host name or an IP address, and a port. */
export const HostPort = Schema.Struct({
  host: Schema.String.check(
    Schema.makeFilter((host: string) => /^[a-zA-Z0-9._-]+$/.test(host) || isIPv6(host), { expected: "a host" })
  ),
  port: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))
})
export type HostPort = typeof HostPort.Type

/** Formats an address; an IPv6 address in brackets. */
export const formatHostPort = ({ host, port }: HostPort): string => `${host.includes(":") ? `[${host}]` : host}:${port}`

const parseHostPort = (text: string): HostPort => {
  const [, ipv6 = "", host = "", port = ""] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? []
  return { host: isIPv6(ipv6) ? ipv6 : host, port: Number(port) }
}

/** Addresses with ports, separated by commas. */
export const hostPorts: Kind<ReadonlyArray<HostPort>> = {
  allowed: "comma-separated, distinct host:port pairs such as redis-0:26379,[::1]:26379",
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.Array(HostPort).check(
        Schema.makeFilter((all: ReadonlyArray<HostPort>) => new Set(all.map(formatHostPort)).size === all.length, {
          expected: "each address once"
        })
      ),
      SchemaTransformation.transform({
        decode: (written): ReadonlyArray<HostPort> => written.split(",").map((one) => parseHostPort(one.trim())),
        encode: (all: ReadonlyArray<HostPort>) => all.map(formatHostPort).join(",")
      })
    )
  )
}

/** The name of a primary in the configuration of its Sentinels. */
export const sentinelName: Kind<string> = {
  allowed: "letters, digits, dots, hyphens and underscores",
  codec: pattern(/^[A-Za-z0-9._-]+$/)
}

/** The prefix of keys in Redis. */
export const keyPrefix: Kind<string> = {
  allowed: "1 to 64 letters, digits, dots, hyphens, underscores and colons",
  codec: pattern(/^[A-Za-z0-9._:-]{1,64}$/)
}

/** Namespace names, separated by commas. */
export const namespaces: Kind<ReadonlyArray<NamespaceName>> = {
  allowed: "names of namespaces, separated by commas, each once",
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.Array(NamespaceName).check(
        Schema.makeFilter((names: ReadonlyArray<string>) => new Set(names).size === names.length, {
          expected: "each name once"
        })
      ),
      SchemaTransformation.transform({
        decode: (written): ReadonlyArray<string> => written.split(",").map((name) => name.trim()),
        encode: (names: ReadonlyArray<string>) => names.join(",")
      })
    )
  )
}

/** The TLS 1.3 cipher suites of Node's default list. */
const cipherSuites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] as const

/** Names of groups; a `*` at the end matches any rest. */
export const groupPatterns: Kind<ReadonlyArray<string>> = {
  allowed: "names of groups, separated by commas, each optionally with a * at the end",
  codec: pattern(/^[^*,]+\*?(?:,[^*,]+\*?)*$/).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.NonEmptyString),
      SchemaTransformation.transform({
        decode: (written): ReadonlyArray<string> => written.split(",").map((name) => name.trim()),
        encode: (names: ReadonlyArray<string>) => names.join(",")
      })
    )
  )
}

/** Cipher suites in OpenSSL's form. */
export const ciphers: Kind<string> = {
  allowed: `one or more of ${cipherSuites.join(", ")}, separated by ":"`,
  codec: pattern(new RegExp(`^(?:${cipherSuites.join("|")})(?::(?:${cipherSuites.join("|")}))*$`))
}

const decodeHeader = (pair: string): readonly [name: string, value: string] => {
  const at = pair.indexOf("=")
  const value = pair.slice(at + 1).trim()
  const decoded = Result.try(() => decodeURIComponent(value))
  return [pair.slice(0, at).trim(), Result.getOrElse(decoded, () => value)]
}

/** Header fields in OpenTelemetry's form: `name=value,name=value`, with percent-encoded values. */
export const headers: Kind<Readonly<Record<string, string>>> = {
  allowed: "header fields such as name=value,name2=value2",
  secret: true,
  codec: pattern(/^\s*[\w-]+\s*=[^,]*(?:,\s*[\w-]+\s*=[^,]*)*$/).pipe(
    Schema.decodeTo(
      Schema.Record(Schema.String, Schema.String),
      SchemaTransformation.transform({
        decode: (written) => Object.fromEntries(written.split(",").map(decodeHeader)),
        encode: (fields) =>
          Object.entries(fields)
            .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
            .join(",")
      })
    )
  )
}
