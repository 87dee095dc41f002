/**
 * Limits what addresses cost in handshakes of clients that turn out to be untrusted.
 *
 * The cost of verifying a client's certificate is known only afterwards, and grows with the bytes that the client sends. So
 * an address pays for the bytes of such a handshake afterwards: it owes one millisecond for each byte beyond those of an
 * ordinary handshake. docs/decisions/0010-hostile-handshakes.md tells why.
 */

/** The debts of addresses. */
export interface HandshakeDebts {
  /** Charges an address for so many bytes. Returns whether it owes too much now and did not before. */
  readonly charge: (address: string, bytes: number, nowMillis: number) => boolean
  /** Whether a new connection from this address is refused. */
  readonly refuses: (address: string, nowMillis: number) => boolean
  /** The number of addresses in memory. */
  readonly size: () => number
}

/**
 * The bytes of a handshake that cost nothing: those of a client without a certificate, or with a small one and its CA's.
 * They have room for one expensive intermediate.
 */
export const freeBytes = 3072
const millisPerByte = 1
/** A misconfigured client stays below this debt if it connects once in a few seconds. */
const toleratedMillis = 5_000
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
      debt.paidAt = Math.min(Math.max(debt.paidAt, now) + bytes * millisPerByte, now + maximumMillis)
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
