import { describe, expect, test } from "vitest"
import { ago, span } from "../src/console/rows"

describe("the rows on the screen", () => {
  test.each([
    [0, 50, 8_276, { from: 1, to: 50, back: null, on: 50 }],
    [50, 50, 8_276, { from: 51, to: 100, back: 0, on: 100 }],
    [8_250, 26, 8_276, { from: 8_251, to: 8_276, back: 8_200, on: null }],
    [0, 0, 0, { from: 0, to: 0, back: null, on: null }],
    [0, 50, 50, { from: 1, to: 50, back: null, on: null }],
    [20, 50, 100, { from: 21, to: 70, back: 0, on: 70 }],
  ])("%i passed over, %i shown of %i", (after, shown, count, wanted) => {
    expect(span(after, shown, count, 50)).toEqual(wanted)
  })

  test("from beyond an end that came nearer the way back leads to the last page", () => {
    expect(span(500, 0, 120, 50)).toEqual({ from: 0, to: 0, back: 70, on: null })
  })

  test("going on and back visits every row once", () => {
    const seen: number[] = []
    for (let after: number | null = 0; after !== null; ) {
      const shown = Math.min(50, 173 - after)
      const at = span(after, shown, 173, 50)
      seen.push(at.to - at.from + 1)
      after = at.on
    }
    expect(seen).toEqual([50, 50, 50, 23])
  })
})

test.each([
  [null, "sources.never", 0],
  [1_000_000_000, "sources.minutes", 0],
  [1_000_000_000 + 5_000, "sources.minutes", 0],
  [1_000_000_000 - 59 * 60_000, "sources.minutes", 59],
  [1_000_000_000 - 60 * 60_000, "sources.hours", 1],
  [1_000_000_000 - 47 * 3_600_000, "sources.hours", 47],
  [1_000_000_000 - 48 * 3_600_000, "sources.days", 2],
])("what was at %s", (at, key, count) => {
  expect(ago(at, 1_000_000_000)).toEqual({ key, count })
})
