/**
 * One offer for the whole meeting: what we send, and the empty slots we watch and listen through.
 *
 * Never renegotiated.  The gateway decides who is in which slot and says so in `slots`; the spare
 * video sends the shared screen when there is one.
 */
import { openPeer } from "./connection"
import { extensionsWanted, fits, isForwardedVideo, isOpus, isUsualVideo, type HeaderExtension } from "./offers"

const AUDIO_SLOTS = 3

/** Three sizes of one picture; the gateway forwards to each viewer the one that fits. */
const LAYERS: RTCRtpEncodingParameters[] = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_700_000 },
]
const CONTENT: RTCRtpEncodingParameters[] = [{ maxBitrate: 1_500_000 }]

export interface Peer {
  readonly connection: RTCPeerConnection
  readonly offer: string
  readonly audio: RTCRtpSender
  readonly video: RTCRtpSender
  readonly content: RTCRtpSender
  /** By media section id; the tracks exist from the start and stay black or silent until the gateway feeds them. */
  readonly streams: ReadonlyMap<string, MediaStream>
}

/** Make the offer: `videoSlots` pictures at once, 1 to 25. No waiting for candidates: the gateway learns ours. */
export async function makePeer(
  audio: MediaStreamTrack | null,
  video: MediaStreamTrack | null,
  videoSlots: number,
): Promise<Peer> {
  const connection = openPeer()
  const send = (kind: "audio" | "video", track: MediaStreamTrack | null, sendEncodings?: RTCRtpEncodingParameters[]) =>
    connection.addTransceiver(track ?? kind, { direction: "sendonly", ...(sendEncodings && { sendEncodings }) })
  const senders = [send("audio", audio), send("video", video, LAYERS), send("video", null, CONTENT)] as const
  const slots = [
    ...Array.from({ length: videoSlots }, () => connection.addTransceiver("video", { direction: "recvonly" })),
    ...Array.from({ length: AUDIO_SLOTS }, () => connection.addTransceiver("audio", { direction: "recvonly" })),
  ]
  const all = [...senders, ...slots]
  all.forEach(preferExtensions)
  await connection.setLocalDescription(await shortOffer(connection, all))
  const streams = new Map(slots.map((slot) => [slot.mid ?? "", new MediaStream([slot.receiver.track])]))
  const [a, v, c] = senders
  const offer = connection.localDescription?.sdp ?? ""
  return { connection, offer, audio: a.sender, video: v.sender, content: c.sender, streams }
}

/** A new way to the gateway for the same connection: keys, sections and streams stay. */
export async function offerAgain(connection: RTCPeerConnection): Promise<string> {
  await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }))
  return connection.localDescription?.sdp ?? ""
}

/** An offer of every codec we forward; of the usual two where that is longer than a message may be. */
async function shortOffer(connection: RTCPeerConnection, all: RTCRtpTransceiver[]): Promise<RTCSessionDescriptionInit> {
  for (const one of all) preferCodecs(one, isForwardedVideo)
  const offer = await connection.createOffer()
  if (fits(offer.sdp ?? "")) return offer
  for (const one of all) preferCodecs(one, isUsualVideo)
  return connection.createOffer()
}

/** The answer with its ways by TCP alone; as it is when it has none. */
export function byStream(answer: string): string {
  const without = answer.replace(/^a=candidate:\S+ \d+ udp .*\r\n/gim, "")
  return /^a=candidate:\S+ \d+ tcp /im.test(without) ? without : answer
}

/**
 * Whether checks pass and the handshake does not: the way carries small datagrams alone.
 *
 * A browser's first flight is of up to 1,228 bytes with its headers, and its media hardly less; it lowers neither.
 */
export function narrow(connection: RTCPeerConnection): boolean {
  const { connectionState: whole, iceConnectionState: way } = connection
  return (whole === "new" || whole === "connecting") && (way === "connected" || way === "completed")
}

/** Keep what the gateway forwards. */
function preferCodecs(transceiver: RTCRtpTransceiver, isVideo: (codec: RTCRtpCodec) => boolean): void {
  const kind = transceiver.receiver.track.kind
  const codecs = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []
  const wanted = codecs.filter(kind === "audio" ? isOpus : isVideo)
  if (wanted.length > 0 && "setCodecPreferences" in transceiver) transceiver.setCodecPreferences(wanted)
}

/** WebRTC Extensions section 5.5; not every browser has it. */
interface ExtensionsNegotiable {
  getHeaderExtensionsToNegotiate?(): HeaderExtension[]
  setHeaderExtensionsToNegotiate?(wanted: HeaderExtension[]): void
}

/** Keep what the gateway reads, and ask for what it needs, where the browser can be asked. */
function preferExtensions(transceiver: RTCRtpTransceiver & ExtensionsNegotiable): void {
  const known = transceiver.getHeaderExtensionsToNegotiate?.() ?? []
  const sends = transceiver.direction === "sendonly"
  const wanted = extensionsWanted(known, transceiver.receiver.track.kind, sends)
  if (known.length > 0) transceiver.setHeaderExtensionsToNegotiate?.(wanted)
}
