import { describe, expect, test } from "vitest"
import { FIRST_RETRY_MS, LAST_RETRY_MS, retryMs } from "../src/backoff"
import { newClickId, Press } from "../src/clickid"
import { en } from "../src/en"
import { tiles } from "../src/tiles"
import { beijing } from "../src/time"
import { EMPTY, reduce } from "../src/protocol"
import { zh } from "../src/zh"
import { conference, place, VILLAGE, welcome } from "./views"

describe("the wait before dialling again", () => {
  test("stays within 1 to 15 seconds for every attempt and every spread", () => {
    for (let attempt = 0; attempt < 50; attempt++)
      for (const spread of [0, 0.5, 0.999]) {
        expect(retryMs(attempt, spread)).toBeGreaterThanOrEqual(FIRST_RETRY_MS)
        expect(retryMs(attempt, spread)).toBeLessThanOrEqual(LAST_RETRY_MS)
      }
  })

  test("grows, and two terminals do not choose the same moment", () => {
    expect(retryMs(3, 0.5)).toBeGreaterThan(retryMs(1, 0.5))
    expect(retryMs(6, 0.1)).not.toBe(retryMs(6, 0.9))
  })
})

describe("one press of a button", () => {
  test("keeps its id for a retry of the same content", () => {
    const press = new Press()
    expect(press.idFor("a")).toBe(press.idFor("a"))
  })

  test("is another directive when the content changed or the first was issued", () => {
    const press = new Press()
    const first = press.idFor("a")
    expect(press.idFor("b")).not.toBe(first)
    const second = press.idFor("b")
    press.done()
    expect(press.idFor("b")).not.toBe(second)
  })

  test("goes on after a lost answer and ends with an answer", async () => {
    const press = new Press()
    const sent: string[] = []
    const lost = press.once("a", (id) => {
      sent.push(id)
      return Promise.reject(new Error("lost"))
    })
    await expect(lost).rejects.toThrow("lost")
    for (let again = 0; again < 2; again++) await press.once("a", (id) => Promise.resolve(sent.push(id)))
    expect(sent[1]).toBe(sent[0])
    expect(sent[2]).not.toBe(sent[1])
  })

  test("is over after a while, for what changes by itself", () => {
    const press = new Press(60_000)
    const first = press.idFor("a", 0)
    expect(press.idFor("a", 60_000)).toBe(first)
    expect(press.idFor("a", 60_001)).not.toBe(first)
  })

  test("has an id of 128 bits", () => {
    expect(newClickId()).toMatch(/^[0-9a-f]{32}$/)
  })
})

describe("the language tables", () => {
  const holes = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort()

  test("have the same keys and the same holes to fill", () => {
    expect(Object.keys(en).sort()).toEqual(Object.keys(zh).sort())
    for (const [key, text] of Object.entries(zh)) expect(holes(en[key as keyof typeof zh])).toEqual(holes(text))
  })

  test("say nothing of the machinery to people", () => {
    for (const text of [...Object.values(zh), ...Object.values(en)]) expect(text).not.toMatch(/\b(SDP|ICE|NAT|WebSocket|RTC)\b/)
  })
})

test("times are Beijing times with their date", () => {
  expect(beijing(Date.UTC(2026, 10, 21, 16, 5, 9))).toBe("11-22 00:05:09")
  expect(beijing(null)).toBe("")
})

test("a tile joins the slot with the name of who is in it", () => {
  const stream = { getVideoTracks: () => [{}] } as unknown as MediaStream
  const silent = { getVideoTracks: () => [] } as unknown as MediaStream
  const tracks = [{ track: "t2", kind: "video", label: "content", codec: "VP8", muted: false }]
  const participants = [{ participant: "p2", node: VILLAGE, division: VILLAGE, name: "王五", tracks }]
  const slots = [{ mid: "3", kind: "video", participant: "p2", track: "t2", paused: false, thumbnails: false }]
  const state = [
    welcome(), { type: "places", places: [place(VILLAGE, null, { name: "八里村" })] } as const,
    conference({ participants, speaker: "p2" }),
    { type: "joined", request: 1, conference: "c1", participant: "p1", sdp: "", slots } as const,
    { type: "quality", conference: "c1", uplink: null, downlink: null, others: [{ participant: "p2", condition: { level: 2, reason: "loss", value: 6 } }] } as const,
  ].reduce(reduce, EMPTY)
  const streams = new Map([["3", stream], ["4", stream], ["5", silent]])
  const [first, second, third] = tiles(state, { conference: "c1", streams })
  expect(first).toMatchObject({ mid: "3", index: 0, name: "王五", place: "八里村", speaking: true, content: true, condition: { level: 2, reason: "loss", value: 6 } })
  expect(second).toMatchObject({ mid: "4", index: 1, participant: null, name: "", speaking: false })
  expect(third).toMatchObject({ mid: "5", index: 0, kind: "audio" })
})
