import { describe, expect, test } from "vitest"
import { freezes, frozenMs } from "../src/freezes"
import { EMPTY, type State } from "../src/protocol"
import { flowing } from "../src/tiles"
import type { ConferenceView } from "../src/wire"

const report = (...pictures: [mid: string, seconds: number | undefined][]): RTCStatsReport =>
  new Map(
    pictures.map(([mid, totalFreezesDuration]) => [mid, { type: "inbound-rtp", kind: "video", mid, totalFreezesDuration }]),
  ) as unknown as RTCStatsReport
const all = new Map([["3", "a"], ["4", "b"]])

describe("how long pictures stand still", () => {
  test("is what the picture worst off stood still since the last look", () => {
    const before = freezes(report(["3", 1], ["4", 7]), all)
    const now = freezes(report(["3", 1.2], ["4", 7.75]), all)
    expect(frozenMs(before, now)).toBe(750)
    expect(frozenMs(now, now)).toBe(0)
  })

  test("is nothing at the first look, of another track, or of a picture that was not to move", () => {
    const now = freezes(report(["3", 5], ["4", 9]), all)
    expect(frozenMs(new Map(), now)).toBe(0)
    expect(frozenMs(freezes(report(["3", 1], ["4", 1]), new Map([["3", "z"]])), now)).toBe(0)
    expect(frozenMs(freezes(report(["3", 1]), all), freezes(report(["3", 5]), new Map()))).toBe(0)
  })

  test("is nothing when the counter went back, came from a browser without one, or grew beyond belief", () => {
    const at = (seconds: number | undefined): ReturnType<typeof freezes> => freezes(report(["3", seconds]), all)
    expect(frozenMs(at(5), at(2))).toBe(0)
    expect(frozenMs(at(undefined), at(undefined))).toBe(0)
    expect(frozenMs(at(1), at(31))).toBe(0)
  })
})

describe("pictures that should move", () => {
  const track = (name: string, muted: boolean) => ({ track: name, kind: "video", label: "camera", codec: "vp8", muted })
  const slot = (mid: string, name: string | null, paused = false, thumbnails = false) => ({ mid, kind: "video", participant: name && "p", track: name, paused, thumbnails })
  const conference = { conference: "c", participants: [{ participant: "p", tracks: [track("a", false), track("b", true)] }] }
  const state: State = {
    ...EMPTY,
    seat: { conference: "c", self: "me", slots: [slot("3", "a"), slot("4", "a", true), slot("5", "b"), slot("6", null), slot("7", "a", false, true)] },
    conferences: new Map([["c", conference as unknown as ConferenceView]]),
  }

  test("are those of people who send, that flow, while pictures are wanted", () => {
    expect([...flowing(state, { conference: "c", audioOnly: false })]).toEqual([["3", "a"]])
    expect(flowing(state, { conference: "c", audioOnly: true }).size).toBe(0)
    expect(flowing(state, { conference: null, audioOnly: false }).size).toBe(0)
  })
})
