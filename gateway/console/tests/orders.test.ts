import { describe, expect, test } from "vitest"
import { blanks, filled } from "../src/blanks"
import { Claims, type Store } from "../src/claims"
import { directivesByUrgency, EMPTY, MAX_DIRECTIVES, reduce } from "../src/protocol"
import { read } from "../src/terminal/feedback"
import { townshipSums } from "../src/townships"
import type { FieldSpec } from "../src/wire"
import { COUNTY, directive, place, recipient, TOWN, VILLAGE } from "./views"

/** What two tabs of one browser share. */
class Shared implements Store {
  readonly keys = new Map<string, number>()
  broken = false

  async add(key: string, at: number): Promise<boolean> {
    if (this.broken) throw new Error("no database in a private window")
    if (this.keys.has(key)) return false
    this.keys.set(key, at)
    return true
  }

  async forget(before: number): Promise<void> {
    for (const [key, at] of this.keys) if (at < before) this.keys.delete(key)
  }
}

describe("what has rung", () => {
  test("rings once in one browser, whichever tab hears of it and after a reload", async () => {
    const store = new Shared()
    const [one, other] = [new Claims(store), new Claims(store)]
    const answers = await Promise.all([one.claim("v d1"), other.claim("v d1"), new Claims(store).claim("v d1")])
    expect(answers.filter(Boolean)).toHaveLength(1)
    expect(await other.claim("v d2")).toBe(true)
  })

  test("rings in every tab where the browser keeps nothing", async () => {
    const store = new Shared()
    store.broken = true
    expect(await new Claims(store).claim("v d1")).toBe(true)
    expect(await new Claims(store).claim("v d1")).toBe(true)
  })

  test("is forgotten when no directive of that age can be open", async () => {
    const store = new Shared()
    await new Claims(store, () => 0).claim("old")
    await new Claims(store, () => 41 * 24 * 3_600_000).claim("new")
    expect([...store.keys.keys()]).toEqual(["new"])
  })
})

describe("blanks of a template", () => {
  test("are found once each and filled in", () => {
    expect(blanks("启用{安置点}", "请于{时间}前开放{安置点}")).toEqual(["安置点", "时间"])
    expect(filled("请于{时间}前开放{安置点}", { 时间: " 20:00 ", 安置点: "" })).toBe("请于20:00前开放{安置点}")
  })
})

describe("the list of a terminal", () => {
  test("drops the oldest settled ones and never one that waits for a signature", () => {
    const waiting = directive({ directive: "waits", issued_at: 1, mine: recipient(VILLAGE, "shown") })
    const later = Array.from({ length: MAX_DIRECTIVES + 20 }, (_, n) =>
      directive({ directive: `d${n}`, issued_at: 10 + n, mine: recipient(VILLAGE, "signed") }),
    )
    const { directives } = [waiting, ...later].reduce(reduce, EMPTY)
    expect(directives.size).toBe(MAX_DIRECTIVES)
    expect([directives.has("waits"), directives.has("d0"), directives.has(`d${MAX_DIRECTIVES + 19}`)]).toEqual([true, false, true])
  })

  test("has open ones first, by urgency, then by time", () => {
    const views = [
      directive({ directive: "old P2", urgency: "P2", issued_at: 1, mine: recipient(VILLAGE, "shown") }),
      directive({ directive: "signed P0", issued_at: 9, mine: recipient(VILLAGE, "signed") }),
      directive({ directive: "new P2", urgency: "P2", issued_at: 5, mine: recipient(VILLAGE, "shown") }),
      directive({ directive: "P0", issued_at: 2, mine: recipient(VILLAGE, "delivered") }),
      directive({ directive: "recalled", state: "recalled", issued_at: 3, mine: recipient(VILLAGE, "shown") }),
    ]
    const state = views.reduce(reduce, EMPTY)
    expect(directivesByUrgency(state).map((view) => view.directive)).toEqual(["P0", "new P2", "old P2", "signed P0", "recalled"])
  })
})

const field = (name: string, part: Partial<FieldSpec> = {}): FieldSpec => ({
  name, kind: "int", label: "", label_en: "", unit: "", sum: true, low: 0, high: 100, choices: [], required: false, ...part,
})

describe("a feedback form", () => {
  test("says numbers as numbers, choices as words, and leaves out what is empty", () => {
    const fields = [field("应转"), field("已转"), field("道路", { kind: "choice", choices: ["通"] }), field("情况", { kind: "text" })]
    const said: Record<string, string> = { "field.应转": "12", "field.道路": "通" }
    expect(read(directive({ fields }), (name) => said[name] ?? "")).toEqual({ values: { 应转: 12 }, answers: { 道路: "通" } })
    expect(read(directive(), (name) => (name === "moved" ? "3" : ""))).toEqual({ values: { 已转: 3 }, answers: {} })
  })

  test("is added up for each township, where it should be", () => {
    const places = new Map(
      [place(COUNTY, null, { tier: 3 }), place(TOWN, COUNTY, { tier: 4, name: "开云镇" }), place(VILLAGE, TOWN)].map((one) => [one.code, one]),
    )
    const recipients = [
      recipient(VILLAGE, "feedback", { values: { 应转: 3, 雨量: 80 } }),
      recipient(TOWN, "feedback", { values: { 应转: 4, 雨量: 90 } }),
      recipient(COUNTY, "feedback", { values: { 应转: 1 } }),
    ]
    const sums = townshipSums(directive({ recipients, fields: [field("应转"), field("雨量", { sum: false })] }), places)
    expect(sums.map((one) => [one.name, [...one.sums]])).toEqual([["开云镇", [["应转", 7]]], [COUNTY, [["应转", 1]]]])
  })
})
