/**
 * What a section of our offer names: the codecs the gateway forwards, and the header extensions it reads.
 *
 * Pure.  A browser's full lists times 30 sections would not fit in one message.
 */

/** A message holds 65,536 octets of JSON; the rest is for what goes with the offer. */
export const OFFER_OCTETS = 64_000

const EVERYWHERE = ["sdes:mid", "abs-send-time", "transport-wide-cc"]
const OF_SOUND = ["ssrc-audio-level"]
const OF_LAYERS = ["sdes:rtp-stream-id", "sdes:repaired-rtp-stream-id"]
const OF_PICTURES = ["video-orientation", "playout-delay"]
/**
 * AV1's layers.  Chromium leaves it out of what it only receives unless asked, and cannot put the spatial layers of
 * a picture together without it.
 */
const OF_AV1 = "dependency-descriptor"

export interface HeaderExtension {
  readonly uri: string
  readonly direction: string
}

/** The browser's extensions of one section as we want them: those the gateway reads, the rest stopped. */
export function extensionsWanted<E extends HeaderExtension>(known: readonly E[], kind: string, sends: boolean): E[] {
  const own = kind === "audio" ? OF_SOUND : [...OF_PICTURES, ...(sends ? OF_LAYERS : [])]
  const wanted = (name: string) => known.filter((one) => one.uri.includes(name)).map((one) => one.uri)
  const kept = new Set([...EVERYWHERE, ...own].flatMap(wanted))
  const direction = (one: E) => {
    if (kind !== "audio" && one.uri.includes(OF_AV1)) return "sendrecv"
    return kept.has(one.uri) ? one.direction : "stopped"
  }
  return known.map((one) => ({ ...one, direction: direction(one) }))
}

export function isOpus(codec: RTCRtpCodec): boolean {
  return codec.mimeType.toLowerCase() === "audio/opus"
}

/** VP8, H.264 constrained baseline in packetization mode 1, and their retransmission. */
export function isUsualVideo(codec: RTCRtpCodec): boolean {
  const type = codec.mimeType.toLowerCase()
  if (type === "video/vp8" || type === "video/rtx") return true
  const format = codec.sdpFmtpLine ?? ""
  return type === "video/h264" && format.includes("packetization-mode=1") && /profile-level-id=42e0/i.test(format)
}

/** The same, and VP9 and AV1 in profile 0. */
export function isForwardedVideo(codec: RTCRtpCodec): boolean {
  const type = codec.mimeType.toLowerCase()
  const format = codec.sdpFmtpLine ?? ""
  if (type === "video/vp9") return /profile-id=0/.test(format)
  if (type === "video/av1") return /profile=0/.test(format)
  return isUsualVideo(codec)
}

/** Whether an offer fits in one message beside its names. */
export function fits(sdp: string): boolean {
  return new TextEncoder().encode(JSON.stringify(sdp)).length <= OFFER_OCTETS
}
