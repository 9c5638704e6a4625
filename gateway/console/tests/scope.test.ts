import { describe, expect, test } from "vitest"
import { allBelow, plant, subtree, toggle, toScope } from "../src/scope"
import { COUNTY, place, TOWN, VILLAGE } from "./views"

const OTHER_TOWN = "430423101000"
const SECOND = "430423100003"
const PLACES = [
  place("430000000000", null), place("430400000000", "430000000000"), place(COUNTY, "430400000000"),
  place(TOWN, COUNTY), place(OTHER_TOWN, COUNTY), place(VILLAGE, TOWN), place(SECOND, TOWN),
]
const TREE = plant(new Map(PLACES.map((one) => [one.code, one])))

describe("the tree", () => {
  test("has the topmost known place as its root", () => {
    expect(TREE.roots).toEqual(["430000000000"])
    expect(plant(new Map([[TOWN, place(TOWN, COUNTY)]])).roots).toEqual([TOWN])
  })

  test("of a county without a county tier hangs villages on the city: parents decide, not digits", () => {
    const city = place("441900000000", null)
    const village = place("441900003001", "441900000000")
    expect(subtree(plant(new Map([[city.code, city], [village.code, village]])), city.code)).toEqual([city.code, village.code])
  })
})

describe("a scope", () => {
  test("of all below names each township once and leaves the county itself out", () => {
    expect(toScope(TREE, allBelow(TREE, COUNTY))).toEqual([
      { node: TOWN, mode: "subtree" },
      { node: OTHER_TOWN, mode: "self" },
    ])
  })

  test("of a whole township is one item", () => {
    expect(toScope(TREE, toggle(TREE, new Set(), TOWN, true))).toEqual([{ node: TOWN, mode: "subtree" }])
  })

  test("of a township without one village names the others", () => {
    const ticked = toggle(TREE, toggle(TREE, new Set(), TOWN, true), SECOND, true)
    expect(toScope(TREE, ticked)).toEqual([{ node: TOWN, mode: "self" }, { node: VILLAGE, mode: "self" }])
  })

  test("of one ticked place without its below is that place alone", () => {
    expect(toScope(TREE, toggle(TREE, new Set(), TOWN, false))).toEqual([{ node: TOWN, mode: "self" }])
  })

  test("of nothing is empty, also after ticking and unticking", () => {
    expect(toScope(TREE, toggle(TREE, toggle(TREE, new Set(), TOWN, true), TOWN, true))).toEqual([])
  })
})
