import { describe, expect, test } from "vitest"
import { fit } from "../src/console/project"
import { outline } from "../src/console/outline"
import { EMPTY, reduce } from "../src/protocol"
import { bars, ours, theirs, tone, WELL, words } from "../src/quality"
import { plant } from "../src/scope"
import type { Condition, Quality } from "../src/wire"
import { zh, type TextKey } from "../src/zh"
import { COUNTY, place, TOWN, VILLAGE, welcome } from "./views"

const say = (key: TextKey, values: Readonly<Record<string, string | number>> = {}): string =>
  Object.entries(values).reduce((text, [name, value]) => text.replace(`{${name}}`, String(value)), zh[key] as string)
const condition = (level: number, reason = "", value = 0): Condition => ({ level, reason, value })
const told = (part: Partial<Quality>): Quality => ({ type: "quality", conference: "c1", uplink: null, downlink: null, others: [], ...part })

describe("how well a connection works", () => {
  test("is bars, a word and a reason, never colour alone", () => {
    expect(bars(condition(4))).toBe("▮▮▮▮")
    expect(bars(condition(1))).toBe("▮▯▯▯")
    expect(words(condition(4), "down", say)).toBe("流畅")
    expect(words(condition(1, "loss", 12), "down", say)).toBe("较差 下行丢包 12%")
    expect(words(condition(2, "loss", 6), "up", say)).toBe("一般 上行丢包 6%")
    expect(words(condition(2, "link", 9), "their", say)).toBe("一般 网关之间丢包 9%")
    expect([4, 3, 2, 1, 0].map((level) => tone(condition(level)))).toEqual(["good", "good", "fair", "poor", "poor"])
  })

  test("has words for every reason", () => {
    const seen = ["far", "jitter", "slow", "paused", "thumbnails", "frozen", "busy", "silent", "link"].map((one) => words(condition(2, one, 7), "down", say))
    expect(new Set(seen).size).toBe(9)
    for (const text of seen) expect(text).toMatch(/^一般 ./)
  })

  test("shows a level for a reason of a newer gateway", () => {
    expect(words(condition(2, "moonlight", 7), "up", say)).toBe("一般")
    expect(bars(condition(9))).toBe("▮▮▮▮")
  })

  test("is well for whom the gateway says nothing else, and unknown before it spoke", () => {
    expect(theirs(null, "p1")).toBeNull()
    const quality = told({ others: [{ participant: "p1", condition: condition(1, "loss", 20) }] })
    expect(theirs(quality, "p1")).toMatchObject({ level: 1 })
    expect(theirs(quality, "p2")).toEqual(WELL)
    expect(theirs(quality, null)).toBeNull()
  })

  test("has only the ways on which something goes", () => {
    expect(ours(null)).toEqual([])
    expect(ours(told({ downlink: WELL }))).toEqual([{ name: "down", condition: WELL }])
  })
})

test("what the gateway says of another meeting is not ours", () => {
  const seated = [
    welcome(), { type: "joined", request: 1, conference: "c1", participant: "p1", sdp: "", slots: [] } as const,
  ].reduce(reduce, EMPTY)
  expect(reduce(seated, told({ conference: "c2" })).quality).toBeNull()
  const known = reduce(seated, told({ uplink: WELL }))
  expect(known.quality?.uplink).toEqual(WELL)
  expect(reduce(known, { type: "left" }).quality).toBeNull()
})

describe("the map", () => {
  const at = fit([{ longitude: 112, latitude: 27 }, { longitude: 113, latitude: 28 }], 600, 400, 20)

  test("keeps every place inside its margin, north up", () => {
    const [west, east] = [at({ longitude: 112, latitude: 27 }), at({ longitude: 113, latitude: 28 })]
    expect(west.x).toBeGreaterThanOrEqual(20)
    expect(east.x).toBeLessThanOrEqual(580)
    expect(west.y).toBeCloseTo(380)
    expect(east.y).toBeCloseTo(20)
    expect(west.x).toBeLessThan(east.x)
  })

  test("keeps distances true: a degree of longitude is shorter than one of latitude", () => {
    const origin = at({ longitude: 112.5, latitude: 27.5 })
    const right = at({ longitude: 112.6, latitude: 27.5 }).x - origin.x
    const up = origin.y - at({ longitude: 112.5, latitude: 27.6 }).y
    expect(right / up).toBeCloseTo(Math.cos((27.5 * Math.PI) / 180), 5)
  })

  test("of one place, or of none, has finite coordinates", () => {
    for (const places of [[], [{ longitude: 112, latitude: 27 }]]) {
      const point = fit(places, 600, 400, 20)({ longitude: 112, latitude: 27 })
      expect(Number.isFinite(point.x) && Number.isFinite(point.y)).toBe(true)
    }
  })
})

describe("the outline of places", () => {
  const all = [place(COUNTY, null), place(TOWN, COUNTY, { name: "开云镇" }), place(VILLAGE, TOWN, { name: "八里村" })]
  const tree = plant(new Map(all.map((one) => [one.code, one])))

  test("shows what is below only where it is unfolded", () => {
    expect(outline(tree, new Set([COUNTY]), "").map((row) => [row.place.code, row.depth, row.folded])).toEqual([
      [COUNTY, 0, false],
      [TOWN, 1, true],
    ])
  })

  test("finds a folded village by its name", () => {
    expect(outline(tree, new Set(), "八里").map((row) => row.place.code)).toEqual([VILLAGE])
  })
})
