import { describe, expect, test } from "vitest"
import { extensionsWanted, fits, isForwardedVideo, isUsualVideo } from "../src/offers"

const DEPENDENCY = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
const KNOWN = [
  { uri: "urn:ietf:params:rtp-hdrext:toffset", direction: "sendrecv" },
  { uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level", direction: "sendrecv" },
  { uri: "urn:ietf:params:rtp-hdrext:sdes:mid", direction: "sendrecv" },
  { uri: "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", direction: "sendrecv" },
  { uri: "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", direction: "stopped" },
  { uri: DEPENDENCY, direction: "stopped" },
]
const asked = (kind: string, sends: boolean) =>
  extensionsWanted(KNOWN, kind, sends)
    .filter((one) => one.direction !== "stopped")
    .map((one) => one.uri.replace(/.*[/:#]/, ""))

describe("what a section of an offer names", () => {
  test("a picture that is only received asks for the descriptor of its layers, which the browser leaves out", () => {
    expect(asked("video", false)).toEqual(["mid", "dependency-descriptor-rtp-header-extension"])
  })

  test("one that is sent also names its layers", () => {
    expect(asked("video", true)).toEqual(["mid", "rtp-stream-id", "dependency-descriptor-rtp-header-extension"])
  })

  test("sound says how loud it is, and nothing of pictures", () => {
    expect(asked("audio", true)).toEqual(["ssrc-audio-level", "mid"])
  })

  test("every extension the browser knows is answered for", () => {
    expect(extensionsWanted(KNOWN, "video", true).map((one) => one.uri)).toEqual(KNOWN.map((one) => one.uri))
  })

  test("of a codec, the profile that everybody decodes", () => {
    const codec = (mimeType: string, sdpFmtpLine = "") => ({ mimeType, sdpFmtpLine, clockRate: 90_000 })
    expect(isForwardedVideo(codec("video/VP9", "profile-id=0"))).toBe(true)
    expect(isForwardedVideo(codec("video/VP9", "profile-id=2"))).toBe(false)
    expect(isForwardedVideo(codec("video/AV1", "level-idx=5;profile=1;tier=0"))).toBe(false)
    expect(isForwardedVideo(codec("video/rtx"))).toBe(true)
    expect(isUsualVideo(codec("video/AV1", "level-idx=5;profile=0;tier=0"))).toBe(false)
    expect(isUsualVideo(codec("video/H264", "packetization-mode=1;profile-level-id=42e01f"))).toBe(true)
    expect(isUsualVideo(codec("video/H264", "packetization-mode=0;profile-level-id=42e01f"))).toBe(false)
  })

  test("line ends count as they are written in a message", () => {
    expect(fits("a=mid\r\n".repeat(7_000))).toBe(true)
    expect(fits("a=mid\r\n".repeat(7_200))).toBe(false)
  })
})
