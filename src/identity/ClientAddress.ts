import { Option, Result } from "effect"
import { IpNetwork, NetAddress } from "effect/net"

/**
 * Identifies a client by its remote address: the IPv4 address, also if it is mapped into IPv6, or the /64 network of an IPv6
 * address, since a client usually controls a whole /64. A socket without an address is `unknown`.
 */
export const clientAddress = (remoteAddress: string | undefined): string => {
  if (remoteAddress === undefined) return "unknown"
  // Link-local addresses have the interface appended.
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
