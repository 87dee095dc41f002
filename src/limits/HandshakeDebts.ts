/**
 * Limits what addresses cost in handshakes of clients that turn out to be untrusted.
 *
 * The cost of verifying a client's certificate is known only afterwards, and grows with the bytes that the client sends. So
 * an address pays for the bytes of such a handshake afterwards: it owes one millisecond for each byte beyond those of an
 * ordinary handshake. docs/decisions/0010-hostile-handshakes.md tells why.
 */

/** The debts of addresses. */
export interface HandshakeDebts {
  /** Records a handshake that took so many bytes. Returns whether the address owes too much now and did not before. */
  readonly charge: (address: string, bytes: number, nowMillis: number) => boolean
  /** Whether a new connection from this address is refused. */
  readonly refuses: (address: string, nowMillis: number) => boolean
  /** The number of addresses in memory. */
  readonly size: () => number
}

/** What a client with a small certificate, or without one, sends at most. */
const freeBytes = 2048
const millisPerByte = 1
/** Handshakes of a misconfigured client stay below this debt if it connects once in a few seconds. */
const toleratedMillis = 32_000
const maximumMillis = 600_000
/** An address that owes more is admitted once in this time, so that a few bytes do not lock out its other clients. */
const admissionMillis = 2000

interface Debt {
  paidAt: number
  admittedAt: number
}

/** No debts. When so many `addresses` are in memory, a further one replaces the address whose debt began first. */
export const make = (addresses: number): HandshakeDebts => {
  const debts = new Map<string, Debt>()

  const isHigh = ({ paidAt }: Debt, now: number) => paidAt - now > toleratedMillis

  return {
    charge: (address, bytes, now) => {
      const excess = bytes - freeBytes
      if (excess <= 0) return false
      let debt = debts.get(address)
      if (debt === undefined) {
        for (const [other, { paidAt }] of debts) {
          if (debts.size < addresses && paidAt > now) break
          debts.delete(other)
        }
        debt = { paidAt: now, admittedAt: now }
        debts.set(address, debt)
      }
      const before = isHigh(debt, now)
      debt.paidAt = Math.min(Math.max(debt.paidAt, now) + excess * millisPerByte, now + maximumMillis)
      return !before && isHigh(debt, now)
    },
    refuses: (address, now) => {
      const debt = debts.get(address)
      if (debt === undefined || !isHigh(debt, now)) return false
      if (now - debt.admittedAt < admissionMillis) return true
      debt.admittedAt = now
      return false
    },
    size: () => debts.size
  }
}
