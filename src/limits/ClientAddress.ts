import { Option, Result } from "effect"
import { IpNetwork, NetAddress } from "effect/net"

/**
 * A socket's remote address as one client is told from another: an IPv4 address, also where it comes mapped into IPv6, or
 * the /64 network of an IPv6 address, since whoever has one of its addresses has all. `unknown` where there is none.
 */
export const clientAddress = (remoteAddress: string | undefined): string => {
  if (remoteAddress === undefined) return "unknown"
  // What has no colon is IPv4, as it should be told already; a link-local address comes with its interface.
  if (!remoteAddress.includes(":")) return remoteAddress
  return Result.match(NetAddress.ipv6FromString(remoteAddress.replace(/%.*$/, "")), {
    onFailure: () => "unknown",
    onSuccess: (address) =>
      Option.match(NetAddress.fromIpv4Mapped(address), {
        onSome: NetAddress.formatIp,
        onNone: () => IpNetwork.format(IpNetwork.fromAddressUnsafe(address, 64))
      })
  })
}
