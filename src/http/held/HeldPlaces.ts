/** A user may have at most half of the places, so that some remain for others. */
const userPart = 2

/** The places for held responses of one kind. */
export interface HeldPlaces {
  /** Takes a place. Returns the limit if it is reached. */
  readonly take: (user: string) => "total" | "user" | undefined
  readonly release: (user: string) => void
  readonly taken: () => number
}

/** At most `maximum` places, of which a user may have half. */
export const make = (maximum: number): HeldPlaces => {
  const users = new Map<string, number>()
  let taken = 0
  return {
    take: (user) => {
      const own = users.get(user) ?? 0
      if (taken >= maximum) return "total"
      if (own >= Math.ceil(maximum / userPart)) return "user"
      taken++
      users.set(user, own + 1)
      return undefined
    },
    release: (user) => {
      const own = users.get(user) ?? 0
      taken--
      if (own > 1) users.set(user, own - 1)
      else users.delete(user)
    },
    taken: () => taken
  }
}
