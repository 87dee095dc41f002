/**
 * The Lua scripts; each is one atomic step in Redis. Redis refuses a leader's write unless the leader holds the lease, the
 * log ends with its last entry, and the hashes that it wrote exist. A refused write changes nothing. So a leader whose lease
 * expired during a pause, or whose Redis lost data, writes nothing.
 *
 * When out of memory, Redis refuses scripts that add objects before they start. Scripts that acquire, renew or release the
 * lease, or finish a list, still run: they add little, and they trim the log first.
 */
import { script } from "effect/persistence/Redis"
import type { Identity } from "../../model/ClusterIdentity.ts"
import { clusterFields, metaFields, watchedField } from "./Keys.ts"

/** The first line of a script that Redis refuses when out of memory, and of one that it still runs. */
const needsMemory = "#!lua"
const needsNoMemory = "#!lua flags=allow-oom"

/**
 * The bound of the log's memory, in bytes. It is checked every `entriesPerCheck` entries, because Redis must visit each
 * block of entries.
 */
const maxLogBytes = 8 * 1024 * 1024
const entriesPerCheck = 64

const common = `
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(number) return string.format('%.0f', number) end
local function last(events)
  if redis.call('EXISTS', events) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', events)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end
-- A server that forbids MEMORY bounds the log by its length alone.
local function isLarge(events)
  local bytes = redis.pcall('MEMORY', 'USAGE', events, 'SAMPLES', 0)
  return type(bytes) == 'number' and bytes > ${maxLogBytes}
end
local function add(events, id, maximum, entry, time)
  redis.call('XTRIM', events, 'MAXLEN', '~', maximum)
  if tonumber(string.match(id, '%d+$')) % ${entriesPerCheck} == 0 then
    local length = redis.call('XLEN', events)
    while length > 0 and isLarge(events) do
      length = math.floor(length * 3 / 4)
      redis.call('XTRIM', events, 'MAXLEN', length)
    end
  end
  redis.call('XADD', events, id, 'at', whole(time), 'entry', entry)
end
`

/** Expiry of keys that no leader renews. Until then an instance that starts can show the last known state. */
const weekMillis = 7 * 24 * 3_600_000

/**
 * Acquires the lease and begins an epoch if the lease is free, or if the caller holds it by its earlier token. Returns the
 * epoch, or nil. Changes nothing if Redis holds the state of another cluster, as `isSame` decides: returns that cluster's
 * identity, with an empty UID if it is unknown.
 */
export const acquire = script(
  (
    keys: { readonly lease: string; readonly epoch: string; readonly events: string; readonly scopes: string },
    args: {
      readonly token: string
      readonly before: string
      readonly leaseMillis: number
      readonly maxEntries: number
      readonly entry: string
      readonly watched: string
      readonly cluster: Identity
    }
  ) => [
    keys.lease,
    keys.epoch,
    keys.events,
    keys.scopes,
    args.token,
    args.before,
    args.leaseMillis,
    args.maxEntries,
    args.entry,
    args.watched,
    args.cluster.uid ?? "",
    args.cluster.endpoint
  ],
  {
    numberOfKeys: 4,
    lua: `${needsNoMemory}${common}
local uid, endpoint = unpack(redis.call('HMGET', KEYS[4], '${clusterFields.uid}', '${clusterFields.endpoint}'))
if endpoint then
  local same = endpoint == ARGV[8]
  if uid and ARGV[7] ~= '' then same = uid == ARGV[7] end
  if not same then return { uid or '', endpoint } end
end
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return false end
-- The clock makes the epoch grow if Redis lost its data; the increment does if the clock went back.
local before = math.max(tonumber(redis.call('GET', KEYS[2]) or '0') or 0, tonumber(string.match(last(KEYS[3]), '^%d+')))
local epoch = whole(math.max(before + 1, now()))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SET', KEYS[2], epoch, 'PX', ${weekMillis})
-- Lists may be of any cluster if none is named.
if not endpoint then redis.call('DEL', KEYS[4]) end
redis.call('HSET', KEYS[4], '${watchedField}', ARGV[6], '${clusterFields.endpoint}', ARGV[8])
if ARGV[7] ~= '' then
  redis.call('HSET', KEYS[4], '${clusterFields.uid}', ARGV[7])
else
  redis.call('HDEL', KEYS[4], '${clusterFields.uid}')
end
add(KEYS[3], epoch .. '-0', ARGV[4], ARGV[5], now())
return epoch
`
  }
).withReturnType<unknown>()

/** A leader's position in the log, and its next entry. */
export interface NextEntry {
  readonly token: string
  readonly last: string
  readonly id: string
  readonly entry: string
  readonly maxEntries: number
  /**
   * The time until which the entry is complete, by the leader's estimate of Redis' clock. The time of an entry that is written
   * late is still that of its content.
   */
  readonly at: number
}

const leads = `
local function refusal(lease, events)
  if redis.call('GET', lease) ~= ARGV[1] then return 'lease' end
  if last(events) ~= ARGV[2] then return 'log' end
end
local function said() return math.min(now(), tonumber(ARGV[6]) or math.huge) end
`

const nextArgs = ({ at, entry, id, last, maxEntries, token }: NextEntry) => [
  token,
  last,
  id,
  entry,
  maxEntries,
  Number.isFinite(at) ? Math.floor(at) : "inf"
]

/** The changes that an entry makes to the hash of a scope. */
export interface ScopeChange {
  readonly scope: string
  readonly generation: string
  /** How long before the entry the watch last heard the cluster; undefined if it never did. */
  readonly agoMillis: number | undefined
  readonly set: ReadonlyMap<string, string>
  readonly remove: ReadonlyArray<string>
}

const appending = (firstLine: string) =>
  script(
    (
      keys: { readonly lease: string; readonly events: string; readonly scopes: string },
      next: NextEntry,
      changes: ReadonlyArray<ScopeChange>,
      renewMillis: number | undefined
    ) => [
      keys.lease,
      keys.events,
      keys.scopes,
      ...changes.map(({ generation }) => generation),
      ...nextArgs(next),
      renewMillis ?? "",
      ...changes.flatMap(({ agoMillis, remove, scope, set }) => [
        scope,
        agoMillis === undefined ? "" : Math.max(0, Math.round(agoMillis)),
        set.size,
        ...[...set].flat(),
        remove.length,
        ...remove
      ])
    ],
    {
      numberOfKeys: (_keys, _next, changes) => 3 + changes.length,
      lua: `${firstLine}${common}${leads}
local refused = refusal(KEYS[1], KEYS[2])
if refused then return refused end
-- Check everything before the first change.
local at = 8
for k = 4, #KEYS do
  if redis.call('HGET', KEYS[3], ARGV[at]) ~= KEYS[k] or redis.call('HEXISTS', KEYS[k], '${metaFields.epoch}') == 0 then
    return 'lists'
  end
  at = at + 3 + 2 * tonumber(ARGV[at + 2])
  at = at + 1 + tonumber(ARGV[at])
end
at = 8
local time = said()
for k = 4, #KEYS do
  local ago, count = ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  if ago ~= '' then redis.call('HSET', KEYS[k], '${metaFields.heardAt}', whole(time - ago)) end
  for i = 1, count do
    redis.call('HSET', KEYS[k], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for i = 1, tonumber(ARGV[at]) do redis.call('HDEL', KEYS[k], ARGV[at + i]) end
  at = at + 1 + tonumber(ARGV[at])
end
add(KEYS[2], ARGV[3], ARGV[5], ARGV[4], time)
if ARGV[7] ~= '' then
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  for k = 2, #KEYS do redis.call('PEXPIRE', KEYS[k], ${weekMillis}) end
end
return 'done'
`
    }
  ).withReturnType<unknown>()

/** Appends an entry to the log and changes the hashes. `renewMillis` renews the lease. */
export const append = appending(needsMemory)

/** The same for an entry and changes that add no object. */
export const beat = appending(needsNoMemory)

/** Adds fields to a hash that is not in use yet. It expires unless the leader continues. */
export const fill = script(
  (generation: string, keptMillis: number, fields: ReadonlyArray<readonly [string, string]>) => [
    generation,
    keptMillis,
    ...fields.flat()
  ],
  {
    numberOfKeys: 1,
    lua: `${needsMemory}
local keptMillis = table.remove(ARGV, 1)
redis.call('HSET', KEYS[1], unpack(ARGV))
redis.call('PEXPIRE', KEYS[1], keptMillis)
`
  }
).withReturnType<unknown>()

/** Replaces the hash in use with a filled one. The old one expires after `keptMillis`, because readers may be scanning it. */
export const commit = script(
  (
    keys: { readonly lease: string; readonly events: string; readonly scopes: string },
    next: NextEntry,
    args: {
      readonly scope: string
      readonly generation: string
      readonly before: string | undefined
      readonly count: number
      readonly keptMillis: number
      /** The age of the list at the time of the entry. */
      readonly agoMillis: number
      readonly meta: ReadonlyArray<readonly [string, string]>
    }
  ) => [
    keys.lease,
    keys.events,
    keys.scopes,
    args.generation,
    args.before ?? args.generation,
    ...nextArgs(next),
    args.scope,
    args.count,
    args.keptMillis,
    args.agoMillis,
    ...args.meta.flat()
  ],
  {
    numberOfKeys: 5,
    lua: `${needsNoMemory}${common}${leads}
local refused = refusal(KEYS[1], KEYS[2])
if refused then return refused end
if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[8]) then return 'lists' end
-- If Redis has lost the scopes, readers would never accept the list: it may be of any cluster.
if redis.call('HEXISTS', KEYS[3], '${clusterFields.endpoint}') == 0 then return 'lists' end
redis.call('HSET', KEYS[4], '${metaFields.heardAt}', whole(said() - ARGV[10]), unpack(ARGV, 11))
redis.call('PEXPIRE', KEYS[4], ${weekMillis})
redis.call('HSET', KEYS[3], ARGV[7], KEYS[4])
if KEYS[5] ~= KEYS[4] then redis.call('PEXPIRE', KEYS[5], ARGV[9]) end
add(KEYS[2], ARGV[3], ARGV[5], ARGV[4], said())
return 'done'
`
  }
).withReturnType<unknown>()

/** Removes a scope that this leader does not watch. Its hash expires after `keptMillis`. */
export const retire = script(
  (
    keys: { readonly lease: string; readonly scopes: string },
    args: { readonly token: string; readonly scope: string; readonly generation: string; readonly keptMillis: number }
  ) => [keys.lease, keys.scopes, args.generation, args.token, args.scope, args.keptMillis],
  {
    numberOfKeys: 3,
    lua: `${needsNoMemory}
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lease' end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 'done'
`
  }
).withReturnType<unknown>()

/** Releases the caller's lease. Appends the entry if the log still ends with the caller's last one. */
export const release = script(
  (keys: { readonly lease: string; readonly events: string }, next: NextEntry) => [
    keys.lease,
    keys.events,
    ...nextArgs(next)
  ],
  {
    numberOfKeys: 2,
    lua: `${needsNoMemory}${common}${leads}
local refused = refusal(KEYS[1], KEYS[2])
if refused ~= 'lease' then redis.call('DEL', KEYS[1]) end
if not refused then add(KEYS[2], ARGV[3], ARGV[5], ARGV[4], said()) end
return refused or 'done'
`
  }
).withReturnType<unknown>()

/** Reads atomically: the time, the id and the time of the last entry, the remaining lease, and the scopes. */
export const look = script(
  (keys: { readonly lease: string; readonly events: string; readonly scopes: string }) => [
    keys.lease,
    keys.events,
    keys.scopes
  ],
  {
    numberOfKeys: 3,
    lua: `${common}
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local at = newest and newest[2][1] == 'at' and string.match(newest[2][2], '^%d+$') or '0'
return { whole(now()), last(KEYS[2]), at, redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[3]) }
`
  }
).withReturnType<unknown>()
