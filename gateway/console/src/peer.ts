/**
 * One offer for the whole meeting: what we send, and the empty slots we watch and listen through.
 *
 * Never renegotiated.  The gateway decides who is in which slot and says so in `slots`; the spare
 * video sends the shared screen when there is one.
 */
import { openPeer } from "./connection"

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

/** With more slots than this, an offer that names every codec in each is longer than a message may be. */
const EVERY_CODEC_SLOTS = 16

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
  const isVideo = videoSlots > EVERY_CODEC_SLOTS ? isUsualVideo : isForwardedVideo
  for (const one of [...senders, ...slots]) preferCodecs(one, isVideo)
  await connection.setLocalDescription(await connection.createOffer())
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

/** Keep what the gateway forwards; a browser's full list times 12 sections would not fit in one message. */
function preferCodecs(transceiver: RTCRtpTransceiver, isVideo: (codec: RTCRtpCodec) => boolean): void {
  const kind = transceiver.receiver.track.kind
  const codecs = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []
  const wanted = codecs.filter(kind === "audio" ? isOpus : isVideo)
  if (wanted.length > 0 && "setCodecPreferences" in transceiver) transceiver.setCodecPreferences(wanted)
}

function isOpus(codec: RTCRtpCodec): boolean {
  return codec.mimeType.toLowerCase() === "audio/opus"
}

/** VP8, H.264 constrained baseline in packetization mode 1, and their retransmission. */
function isUsualVideo(codec: RTCRtpCodec): boolean {
  const type = codec.mimeType.toLowerCase()
  if (type === "video/vp8" || type === "video/rtx") return true
  const format = codec.sdpFmtpLine ?? ""
  return type === "video/h264" && format.includes("packetization-mode=1") && /profile-level-id=42e0/i.test(format)
}

/** The same, and VP9 and AV1 in profile 0. */
function isForwardedVideo(codec: RTCRtpCodec): boolean {
  const type = codec.mimeType.toLowerCase()
  const format = codec.sdpFmtpLine ?? ""
  if (type === "video/vp9") return /profile-id=0/.test(format)
  if (type === "video/av1") return /profile=0/.test(format)
  return isUsualVideo(codec)
}
