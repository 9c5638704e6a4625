import { describe, expect, test } from "vitest"
import type { Template } from "../src/api"
import { formOf, openBlanks, requestOf, restOf, withTemplate } from "../src/console/composing"
import { difference, type Piece } from "../src/console/diff"
import { Newest } from "../src/console/newest"
import { fromBeijing, toBeijing } from "../src/time"
import type { DraftView } from "../src/wire"
import { COUNTY, directive, held, TOWN } from "./views"

const scope = [{ node: TOWN, mode: "subtree", tier: 0, post: "" }] as const

function draft(part: Partial<DraftView["request"]> = {}): DraftView {
  return {
    type: "draft", directive: "d1", state: "draft", revision: 2, by: { name: "王", role: "commander", division: COUNTY },
    drafted_at: 1, submitted_at: null, returned_by: "", returned_reason: "", recipients: 3, before: null,
    request: {
      click_id: "c1", urgency: "P1", title: "转移", text: "立即转移", scope, exercise: true, expires_ms: 60_000, capacity: "防汛指挥部",
      template: "flood", plan: "防汛预案", level: 2, fields: [], texts: { English: "Move", Français: "Partez" }, files: [], voice: null,
      supersedes: "d0", ...part,
    },
  }
}

const template: Template = { id: "t1", title: "到{地点}", text: "请到{地点}", urgency: "P0", plan: "P", level: 1, capacity: "", fields: [] }

describe("a draft that is opened", () => {
  test("is asked for again as it was, also what no field shows", () => {
    const from = { kind: "draft", view: draft() } as const
    const { click_id: _, ...request } = draft().request
    expect(requestOf(formOf(from, true), restOf(from), scope)).toEqual(request)
    expect(formOf(from, true).audience).toBe("kept")
  })

  test("keeps the blanks of its template, and braces of nobody's template are text", () => {
    const from = { kind: "draft", view: draft({ text: "到{地点}集合" }) } as const
    expect(openBlanks(formOf(from, false), restOf(from))).toEqual(["地点"])
    const free = { kind: "draft", view: draft({ text: "到{地点}集合", template: "" }) } as const
    expect(openBlanks(formOf(free, false), restOf(free))).toEqual([])
  })

  test("loses its English when that is taken out, and no other language", () => {
    const from = { kind: "draft", view: draft() } as const
    expect(requestOf({ ...formOf(from, false), english: " " }, restOf(from), scope).texts).toEqual({ Français: "Partez" })
  })
})

describe("a form", () => {
  test("of what takes a directive's place begins with its words and names it", () => {
    const from = { kind: "instead", of: directive({ plan: "防汛预案", level: 3 }) } as const
    const request = requestOf(formOf(from, false), restOf(from), scope)
    expect(request).toMatchObject({ title: "转移群众", text: "立即转移", supersedes: "d1", plan: "防汛预案", level: 3 })
    expect(request).not.toHaveProperty("expires_ms")
  })

  test("takes a template over what it had, and fills in its blanks", () => {
    const from = { kind: "blank" } as const
    const form = { ...formOf(from, true), ...template, blank: { 地点: "学校" } }
    const rest = withTemplate(restOf(from), template)
    expect(openBlanks(form, rest)).toEqual(["地点"])
    expect(requestOf(form, rest, scope)).toMatchObject({ title: "到学校", text: "请到学校", template: "t1", plan: "P", level: 1 })
    expect(form.audience).toBe("tree")
  })
})

describe("what has changed in a text", () => {
  const side = (pieces: Piece[], left: Piece["kind"]): string => pieces.filter((one) => one.kind !== left).map((one) => one.text).join("")

  test("is told by sign, numbers and Latin words whole", () => {
    expect(difference("请于20点前到村部集合", "请于21点前到学校集合")).toEqual([
      { kind: "same", text: "请于" },
      { kind: "out", text: "20" },
      { kind: "in", text: "21" },
      { kind: "same", text: "点前到" },
      { kind: "out", text: "村部" },
      { kind: "in", text: "学校" },
      { kind: "same", text: "集合" },
    ])
    expect(difference("same", "same")).toEqual([{ kind: "same", text: "same" }])
    expect(difference("", "新")).toEqual([{ kind: "in", text: "新" }])
  })

  test("gives back both texts, however they differ and however long they are", () => {
    const words = ["转移", "立即", "20", " ", "\n", "😀", "a", "bc"]
    let seed = 7 // a linear congruence: the same texts in every run
    const text = (length: number): string =>
      Array.from({ length }, () => words[(seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % words.length]).join("")
    for (const length of [0, 1, 5, 40, 200])
      for (let round = 0; round < 10; round++) {
        const [before, after] = [text(length), text(length + round)]
        const pieces = difference(before, after)
        expect([side(pieces, "in"), side(pieces, "out")], `seed 7, ${before} / ${after}`).toEqual([before, after])
      }
    const [long, other] = ["一".repeat(4_000), "二".repeat(4_000)]
    expect(difference(long, other)).toEqual([{ kind: "out", text: long }, { kind: "in", text: other }])
  })
})

describe("of two questions", () => {
  test("the later one's answer counts, whichever comes first", async () => {
    const newest = new Newest()
    const [first, second] = [held<string>(), held<string>()]
    let shown = ""
    const asked = [first, second].map((one) => newest.of(one.promise, (told) => (shown = told)))
    second.give("second")
    first.give("first")
    await Promise.all(asked)
    expect(shown).toBe("second")
  })

  test("the earlier one's failure is nobody's, and after the end no answer counts", async () => {
    const newest = new Newest()
    const [lost, late] = [held<string>(), held<string>()]
    let shown = ""
    const asked = [lost, late].map((one) => newest.of(one.promise, (told) => (shown = told)))
    lost.fail(new Error("offline"))
    newest.close()
    late.give("late")
    await Promise.all(asked)
    expect(shown).toBe("")
  })
})

test("a field of a shift is in Beijing time there and back", () => {
  const at = Date.UTC(2026, 10, 21, 16, 5)
  expect(toBeijing(at)).toBe("2026-11-22T00:05")
  expect(fromBeijing("2026-11-22T00:05")).toBe(at)
  expect(fromBeijing("")).toBeNull()
})
