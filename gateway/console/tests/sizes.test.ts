import { describe, expect, test } from "vitest"
import { bytes, rates } from "../src/rates"
import { sameSizes, sizesOf, type Seen } from "../src/sizes"

const tile = (slot: number, width: number, height: number, more: Partial<Seen> = {}): Seen => ({
  slot,
  width,
  height,
  aspect: 0,
  taken: true,
  ...more,
})

describe("how large pictures are wanted", () => {
  test("as high as they are drawn, in the dots of the screen", () => {
    expect(sizesOf([tile(0, 640, 360), tile(1, 320, 180)], true, 1.5)).toEqual([
      { slot: 0, height: 540 },
      { slot: 1, height: 270 },
    ])
  })

  test("in a narrow box as high as the picture is in it, upright or wide", () => {
    expect(sizesOf([tile(0, 320, 900)], true, 1)).toEqual([{ slot: 0, height: 180 }])
    expect(sizesOf([tile(0, 320, 900, { aspect: 9 / 16 })], true, 1)).toEqual([{ slot: 0, height: 569 }])
  })

  test("never more than the wire takes, however dense the screen", () => {
    expect(sizesOf([tile(0, 20_000, 9_000)], true, 4)).toEqual([{ slot: 0, height: 4320 }])
    expect(sizesOf([tile(0, 1_600, 900)], true, 4)).toEqual([{ slot: 0, height: 1800 }])
  })

  test("not at all when the tile is not drawn, and whoever comes into an empty slot is seen at once", () => {
    expect(sizesOf([tile(0, 0, 0), tile(1, 0, 0, { taken: false })], true, 1)).toEqual([{ slot: 0, height: 0 }])
  })

  test("not at all, in every slot, while the page is away or only listens", () => {
    expect(sizesOf([tile(0, 640, 360), tile(1, 0, 0, { taken: false })], false, 1)).toEqual([
      { slot: 0, height: 0 },
      { slot: 1, height: 0 },
    ])
  })

  test("are said again only when they differ", () => {
    expect(sameSizes(null, [])).toBe(false)
    expect(sameSizes([{ slot: 0, height: 90 }], [{ slot: 0, height: 90 }])).toBe(true)
    expect(sameSizes([{ slot: 0, height: 90 }], [{ slot: 0, height: 91 }])).toBe(false)
    expect(sameSizes([{ slot: 0, height: 90 }], [])).toBe(false)
  })
})

describe("the rates of a meeting", () => {
  const report = (received: number, sent: number): RTCStatsReport =>
    new Map([
      ["t", { type: "transport", bytesReceived: received, bytesSent: sent }],
      ["i", { type: "inbound-rtp", bytesReceived: 5 }],
    ]) as unknown as RTCStatsReport

  test("are the bytes between two looks", () => {
    const before = bytes(report(1_000, 500), 10_000)
    expect(rates(before, bytes(report(251_000, 25_500), 12_000))).toEqual({ down: 1_000, up: 100 })
  })

  test("are unknown at the first look and after another connection began", () => {
    const now = bytes(report(1_000, 500), 10_000)
    expect(rates(null, now)).toBeNull()
    expect(rates(bytes(report(2_000, 400), 9_000), now)).toBeNull()
    expect(rates(now, now)).toBeNull()
  })
})
