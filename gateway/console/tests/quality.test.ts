import { describe, expect, test } from "vitest"
import { fit } from "../src/console/project"
import { outline } from "../src/console/outline"
import { BARS, counters, grade, uplinkLoss } from "../src/quality"
import { plant } from "../src/scope"
import { COUNTY, place, TOWN, VILLAGE } from "./views"

const base = { received: 1000, lost: 0, frames: 100, freezes: 0 }
const later = (part: object) => ({ received: 2000, lost: 0, frames: 150, freezes: 0, ...part })

describe("the grade of a picture", () => {
  test("is good without loss, fair with some, poor with much", () => {
    expect(grade(base, later({}))).toEqual({ grade: "good", loss: 0 })
    expect(grade(base, later({ lost: 40 }))).toEqual({ grade: "fair", loss: 4 })
    expect(grade(base, later({ lost: 137 }))).toEqual({ grade: "poor", loss: 12 })
  })

  test("counts freezes as well as packets", () => {
    expect(grade(base, later({ freezes: 1 })).grade).toBe("fair")
    expect(grade(base, later({ freezes: 2 })).grade).toBe("poor")
  })

  test("is none when no frame came, whatever arrived", () => {
    expect(grade(base, later({ frames: 100 })).grade).toBe("none")
    expect(grade(undefined, { received: 0, lost: 0, frames: 0, freezes: 0 })).toEqual({ grade: "none", loss: 0 })
  })

  test("has an icon of its own shape", () => {
    expect(new Set(Object.values(BARS)).size).toBe(4)
  })
})

test("counters and uplink loss are read off a browser's report", () => {
  const entries = [
    { type: "inbound-rtp", kind: "video", mid: "3", packetsReceived: 9, packetsLost: 1, framesDecoded: 5, freezeCount: 0 },
    { type: "inbound-rtp", kind: "audio", mid: "8", packetsReceived: 9, packetsLost: 1 },
    { type: "remote-inbound-rtp", kind: "video", fractionLost: 0.03 },
    { type: "remote-inbound-rtp", kind: "audio", fractionLost: 0.12 },
  ]
  const report = new Map(entries.map((entry, index) => [String(index), entry])) as unknown as RTCStatsReport
  expect([...counters(report)]).toEqual([["3", { received: 9, lost: 1, frames: 5, freezes: 0 }]])
  expect(uplinkLoss(report)).toBe(12)
  expect(uplinkLoss(new Map() as unknown as RTCStatsReport)).toBeNull()
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
