import { expect, test } from "vitest"
import { JOIN_MS, NewOverdue, OverdueBell } from "../src/chime"
import { gathered, waiting } from "../src/gathered"
import { EMPTY, reduce, type State } from "../src/protocol"
import type { LateView, OverdueView } from "../src/wire"
import { COUNTY, overdueList, place, welcome } from "./views"

const TOWNS = ["T1", "T2", "T3"]
const VILLAGES = Array.from({ length: 153 }, (_, number) => `V${number}`)
const PLACES = [
  place(COUNTY, null, { tier: 3 }),
  ...TOWNS.map((code) => place(code, COUNTY, { tier: 4, name: `${code}镇` })),
  ...VILLAGES.map((code, number) => place(code, TOWNS[number % TOWNS.length]!)),
]
const by = { name: "李", role: "commander", division: COUNTY } as const

function row(village: string, part: Partial<LateView> = {}): LateView {
  return { ...overdueList().rows[0]!, alarm: `a-${village}`, place: village, place_name: village, ...part }
}

function list(village: string, part: Partial<OverdueView> = {}, late: Partial<LateView> = {}): OverdueView {
  return overdueList({ overdue: `${village}-${COUNTY}`, superior: COUNTY, urgency: "P2", rows: [row(village, late)], ...part })
}

const fold = (lists: readonly OverdueView[], state: State = reduce(EMPTY, { type: "places", places: PLACES })): State => lists.reduce<State>(reduce, state)
const cards = (state: State) => gathered(state.overdue, state.places)

test("a list of each of 153 villages is one card, by township, the oldest first", () => {
  const state = fold(VILLAGES.map((village, number) => list(village, { raised_at: number }, { since: 1_000 - number })))
  const [card, ...others] = cards(state)
  expect(others).toEqual([])
  expect([card!.left, card!.total, card!.lists.length, card!.since]).toEqual([153, 153, 153, 848])
  expect(card!.townships.map((town) => [town.name, town.left, town.since])).toEqual([["T3镇", 51, 848], ["T2镇", 51, 849], ["T1镇", 51, 850]])
  expect(card!.townships[0]!.matters.map(({ row: { since } }) => since)).toEqual([...Array(51).keys()].map((number) => 848 + 3 * number))
})

test("kinds stand apart, exercises too; who has nobody's hand comes first, then the urgent, then the old", () => {
  const state = fold([
    list("V1", { overdue: "taken", urgency: "P0", acknowledged_by: by }, { kind: "handled" }),
    list("V1", { overdue: "young" }, { kind: "on_site", since: 50 }),
    list("V2", { overdue: "old" }, { since: 20 }),
    list("V3", { overdue: "urgent", urgency: "P1" }, { kind: "call", since: 90 }),
    list("V4", { overdue: "exercise", urgency: "P1", exercise: true }, { since: 95 }),
  ])
  expect(cards(state).map((card) => [card.key, card.urgency])).toEqual([
    ["call", "P1"], ["response exercise", "P1"], ["response", "P2"], ["on_site", "P2"], ["handled", "P0"],
  ])
  expect(waiting(cards(state)[4]!.lists)).toEqual([])
})

test("what two superiors were told of is one matter on one card", () => {
  const [card] = cards(fold([list("V1"), list("V1", { overdue: "above" }, { n: 2 })]))
  expect([card!.left, card!.total, card!.lists.length]).toEqual([1, 1, 2])
  expect(card!.townships[0]!.matters[0]!.row.n).toBe(2)
})

test("what was done is struck out behind the rest, and a card with nothing left is gone", () => {
  const done = { ended: true, ended_at: 30 }
  const both = list("V1", { rows: [row("V1"), row("V4", { since: 5 })], total: 2 })
  let state = fold([both])
  expect(cards(state)[0]!.townships[0]!.matters.map(({ row: { place: code } }) => code)).toEqual(["V4", "V1"])
  state = fold([{ ...both, rows: [row("V1"), row("V4", { since: 5, ...done })] }], state)
  const [card] = cards(state)
  expect([card!.left, card!.total, card!.since, card!.townships[0]!.left]).toEqual([1, 2, 10, 1])
  expect(card!.townships[0]!.matters.map(({ row: { place: code } }) => code)).toEqual(["V1", "V4"])
  expect(cards(fold([{ ...both, rows: [row("V1", done), row("V4", done)] }], state))).toEqual([])
})

test("the urgency is that of what is left, and what is not told one by one is a number", () => {
  const done = row("V1", { ended: true, ended_at: 30 })
  const [card] = cards(fold([list("V1", { urgency: "P0", rows: [done] }), list("V4", { total: 41 })]))
  expect([card!.urgency, card!.total, card!.left, card!.more]).toEqual(["P2", 2, 1, 40])
})

test("a place that is above the townships, or unknown, stands for itself", () => {
  const [card] = cards(fold([list(COUNTY, {}, { since: 1 }), list("elsewhere", {}, { place_name: "别处", since: 2 })]))
  expect(card!.townships.map((town) => town.name)).toEqual([COUNTY, "别处"])
})

function bell(): { readonly bell: OverdueBell; later: (ms: number) => void } {
  let now = 0
  return { bell: new OverdueBell(new NewOverdue(new Set<string>()), () => now), later: (ms) => (now += ms) }
}

test("153 lists of one minute are one stroke; of another kind or an exercise there is another", () => {
  const { bell: strikes } = bell()
  expect(VILLAGES.map((village) => strikes.heard(list(village))).filter((rings) => rings)).toEqual([true])
  expect(strikes.heard(list("V1", { overdue: "other" }, { kind: "on_site" }))).toBe(true)
  expect(strikes.heard(list("V1", { overdue: "exercise", exercise: true }))).toBe(true)
  expect(strikes.heard(list("V1"))).toBe(false)
})

test("what joins strikes again when it is more urgent, and a minute later", () => {
  const { bell: strikes, later } = bell()
  strikes.heard(list("V1"))
  expect(strikes.heard(list("V2", { urgency: "P0" }))).toBe(true)
  expect(strikes.heard(list("V3", { urgency: "P1" }))).toBe(false)
  later(JOIN_MS - 1)
  expect(strikes.heard(list("V4"))).toBe(false)
  later(1)
  expect(strikes.heard(list("V5"))).toBe(true)
})

test("what joins after somebody took the card in hand strikes, once", () => {
  const { bell: strikes } = bell()
  strikes.heard(list("V1"))
  expect(strikes.heard(list("V1", { acknowledged_by: by }))).toBe(false)
  expect(strikes.heard(list("V2"))).toBe(true)
  expect(strikes.heard(list("V1", { acknowledged_by: by, note: "told again" }))).toBe(false)
  expect(strikes.heard(list("V3"))).toBe(false)
})

test("a gateway that is not heard stands until its clocks are kept again, or the session begins anew", () => {
  const away = { type: "unguarded", node: "T1", since: 5, alarms: 3, late: 1 } as const
  const state = [away, { ...away, late: 2 }, { ...away, node: "T2" }].reduce<State>(reduce, EMPTY)
  expect([...state.unguarded.values()].map(({ node, late }) => [node, late])).toEqual([["T1", 2], ["T2", 1]])
  expect([...reduce(state, { ...away, since: null, alarms: 0, late: 0 }).unguarded.keys()]).toEqual(["T2"])
  expect(reduce(state, welcome()).unguarded.size).toBe(0)
})
