/**
 * Sends a large body in slices, the next one after the client has taken the one before.
 *
 * Node hands a whole body to the socket at once. Over TLS, the encrypted copy of all of it then stays in memory until the
 * client has read it (TLSWrap::EncOut in src/crypto/crypto_tls.cc, Node 26): 400 clients that did not read a list of 1.5 MB
 * held 500 MB.
 */
import { type IncomingMessage, ServerResponse } from "node:http"

/** The length of a slice, in bytes: the socket's own buffer. */
export const sliceBytes = 65_536

/** A response whose `end` sends in slices. */
export class SlicedResponse<R extends IncomingMessage> extends ServerResponse<R> {
  override end(...given: [unknown?, unknown?, unknown?]): this {
    const [body, ...rest] = given
    if (!(body instanceof Uint8Array) || body.length <= sliceBytes) {
      Reflect.apply(super.end, this, given)
      return this
    }
    let offset = 0
    const send = () => {
      while (offset < body.length - sliceBytes) {
        const slice = body.subarray(offset, (offset += sliceBytes))
        if (!this.write(slice)) return void this.once("drain", send)
      }
      Reflect.apply(super.end, this, [body.subarray(offset), ...rest])
    }
    send()
    return this
  }
}
