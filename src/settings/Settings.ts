/** Every setting of the service, and the checks of settings that depend on each other. */
import { Duration, Effect, Redacted } from "effect"
import { authorization, cache, cluster } from "./ClusterSettings.ts"
import { limits, rates } from "./LimitSettings.ts"
import { observability } from "./ObservabilitySettings.ts"
import { timeouts, tls } from "./ServerSettings.ts"
import { formatHostPort } from "./Kind.ts"
import * as Setting from "./Setting.ts"
import type { SettingError } from "./SettingError.ts"

/** The sections of docs/configuration.md. */
const sections = {
  "Address and TLS": tls,
  Cluster: cluster,
  "Shared cache": cache,
  Authorization: authorization,
  Limits: limits,
  "Rate limits": rates,
  Timeouts: timeouts,
  Observability: observability
}

/** The settings. Everything that mentions one takes its name from here. */
export const settings = {
  ...tls,
  ...cluster,
  ...cache,
  ...authorization,
  ...limits,
  ...rates,
  ...timeouts,
  ...observability
}

const declared = Effect.all(settings)

type Declared = Effect.Success<typeof declared>

/** The values of the settings. */
export type Settings = Readonly<Omit<Declared, "authorization">> & {
  readonly authorization: NonNullable<Declared["authorization"]>
}

const millis = (value: Duration.Duration): string => `${Duration.toMillis(value)}ms`

const redisSettings = ["redisUrl", "redisSentinels", "redisCaFile"] as const
/** The settings that need `redisSentinels`. */
const sentinelSettings = [
  "redisSentinelName",
  "redisUsername",
  "redisPassword",
  "redisSentinelUsername",
  "redisSentinelPassword",
  "redisTls"
] as const

/** The settings that have a value or are turned on. */
const givenOf = <K extends (typeof redisSettings)[number] | (typeof sentinelSettings)[number]>(
  values: Declared,
  keys: ReadonlyArray<K>
) =>
  keys
    .filter((key) => values[key] !== undefined && values[key] !== false)
    .map((key) => ({ key, name: settings[key].name, value: String(values[key]) }))

const passwordMissing = (password: Setting.Setting<unknown>, user: Setting.Setting<unknown>): SettingError =>
  password.error(undefined, `${user.name} needs a password`, `Set it to the user's password, or unset ${user.name}.`)

/** Each gives the error of settings that are valid alone and contradict each other. They run in this order. */
const checks: Readonly<Record<string, (values: Declared) => SettingError | undefined>> = {
  policyIsGiven: ({ authorization, policyFile }) =>
    authorization === "policy" && policyFile === undefined
      ? settings.policyFile.error(
          undefined,
          `${settings.authorization.name}=policy needs a policy`,
          `Name its file, or set ${settings.authorization.name}=kubernetes to authorize by the cluster's RBAC.`
        )
      : undefined,

  policyIsUsed: ({ authorization, policyFile }) =>
    authorization === "kubernetes" && policyFile !== undefined
      ? settings.authorization.error(
          authorization,
          `the cluster's RBAC would authorize, and ${settings.policyFile.name}=${policyFile} would be ignored`,
          `Set it to policy, or unset ${settings.policyFile.name}.`
        )
      : undefined,

  roleNeedsSharedCache: ({ cache, role }) =>
    cache === "memory" && role !== "all"
      ? settings.role.error(
          role,
          `with ${settings.cache.name}=memory each instance must watch the cluster and serve, because it shares nothing`,
          `Set ${settings.cache.name}=redis and ${settings.redisUrl.name} or ${settings.redisSentinels.name}, or unset ${settings.role.name}.`
        )
      : undefined,

  redisIsUsed: (values) => {
    const given = givenOf(values, [...redisSettings, ...sentinelSettings])
    return values.cache === "memory" && given[0] !== undefined
      ? settings.cache.error(
          values.cache,
          `${given[0].name} would be ignored`,
          `Set it to redis, or unset ${given.map(({ name }) => name).join(" and ")}.`
        )
      : undefined
  },

  redisIsGiven: ({ cache, redisSentinels, redisUrl }) =>
    cache === "redis" && redisUrl === undefined && redisSentinels === undefined
      ? settings.redisUrl.error(
          undefined,
          `${settings.cache.name}=redis needs a Redis server`,
          `Set it to ${settings.redisUrl.kind.allowed}; or set ${settings.redisSentinels.name} and ${settings.redisSentinelName.name}.`
        )
      : undefined,

  redisIsGivenOnce: ({ redisSentinels, redisUrl }) =>
    redisSentinels !== undefined && redisUrl !== undefined
      ? settings.redisSentinels.error(
          redisSentinels.map(formatHostPort).join(","),
          `${settings.redisUrl.name} would be ignored, because the Sentinels give the Redis server`,
          `Unset one of the two.`
        )
      : undefined,

  sentinelNameIsGiven: ({ redisSentinelName, redisSentinels }) =>
    redisSentinels !== undefined && redisSentinelName === undefined
      ? settings.redisSentinelName.error(
          undefined,
          `${settings.redisSentinels.name} needs the name of a primary`,
          "Set it to the name in `sentinel monitor <name> ...` of the Sentinels' configuration."
        )
      : undefined,

  sentinelSettingsAreUsed: (values) => {
    const [given] = givenOf(values, sentinelSettings)
    return values.redisSentinels === undefined && given !== undefined
      ? settings[given.key].error(
          given.value,
          `it would be ignored without ${settings.redisSentinels.name}`,
          `Unset it and give user, password and TLS in ${settings.redisUrl.name}; or set ${settings.redisSentinels.name}.`
        )
      : undefined
  },

  redisUserHasPassword: ({ redisPassword, redisUsername }) =>
    redisUsername !== undefined && redisPassword === undefined
      ? passwordMissing(settings.redisPassword, settings.redisUsername)
      : undefined,

  sentinelUserHasPassword: ({ redisSentinelPassword, redisSentinelUsername }) =>
    redisSentinelUsername !== undefined && redisSentinelPassword === undefined
      ? passwordMissing(settings.redisSentinelPassword, settings.redisSentinelUsername)
      : undefined,

  redisCaIsUsed: ({ redisCaFile, redisSentinels, redisTls, redisUrl }) => {
    if (redisCaFile === undefined) return undefined
    if (redisSentinels !== undefined && !redisTls) {
      return settings.redisCaFile.error(
        redisCaFile,
        `without ${settings.redisTls.name}=true there is no certificate to verify`,
        `Set ${settings.redisTls.name}=true, or unset ${settings.redisCaFile.name}.`
      )
    }
    return redisUrl !== undefined && !Redacted.value(redisUrl).startsWith("rediss:")
      ? settings.redisCaFile.error(
          redisCaFile,
          `${settings.redisUrl.name} begins with redis://, so there is no certificate to verify`,
          `Let ${settings.redisUrl.name} begin with rediss://, or unset ${settings.redisCaFile.name}.`
        )
      : undefined
  },

  embeddedClusterIsNotShared: ({ kubeSource, role }) =>
    kubeSource === "embedded" && role !== "all"
      ? settings.role.error(
          role,
          `with ${settings.kubeSource.name}=embedded each process has a cluster of its own, which instances cannot share`,
          `Unset it, or set ${settings.kubeSource.name} to another source.`
        )
      : undefined,

  seedIsUsed: ({ embeddedSeed, kubeSource }) =>
    embeddedSeed !== undefined && kubeSource !== "embedded"
      ? settings.embeddedSeed.error(
          embeddedSeed,
          `it would be ignored with ${settings.kubeSource.name}=${kubeSource}`,
          `Set ${settings.kubeSource.name}=embedded, or unset ${settings.embeddedSeed.name}.`
        )
      : undefined,

  headersWithinRequest: ({ headersTimeout, requestTimeout }) =>
    Duration.isGreaterThan(headersTimeout, requestTimeout)
      ? settings.headersTimeout.error(
          millis(headersTimeout),
          `longer than ${settings.requestTimeout.name}=${millis(requestTimeout)}, which includes the headers`,
          `Set it to ${settings.requestTimeout.name} or less.`
        )
      : undefined,

  requestWithinShutdown: ({ requestTimeout, shutdownTimeout }) =>
    Duration.isGreaterThan(requestTimeout, shutdownTimeout)
      ? settings.shutdownTimeout.error(
          millis(shutdownTimeout),
          `shorter than ${settings.requestTimeout.name}=${millis(requestTimeout)}: shutdown would cut requests off`,
          `Set it to ${settings.requestTimeout.name} or more.`
        )
      : undefined
}

/** Reads, decodes and checks every setting; fails with the first that cannot be used. */
export const load: Effect.Effect<Settings, SettingError> = Effect.flatMap(declared, (values) => {
  for (const check of Object.values(checks)) {
    const error = check(values)
    if (error !== undefined) return Effect.fail(error)
  }
  const authorization = values.authorization ?? (values.policyFile === undefined ? "kubernetes" : "policy")
  return Effect.succeed({ ...values, authorization })
})

/** The sections of docs/configuration.md, a table each. */
export const markdown = (): string =>
  Object.entries(sections)
    .map(([title, section]) => `## ${title}\n\n${Setting.markdown(section)}`)
    .join("\n\n")
