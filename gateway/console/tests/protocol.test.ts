import { describe, expect, test } from "vitest"
import {
  alarmsByTime, circularsFor, clockState, EMPTY, isUnread, lineAbove, MAX_ALARMS, MAX_CIRCULARS, nextState, notReached, numbers, onDuty, outdated, overdue,
  reduce, tally, totals, unsigned, type PageEvent, type State,
} from "../src/protocol"
import { VERSION, type DutyChanged, type GatewayMessage, type Silence, type Skew, type UnitState } from "../src/wire"
import { alarm, circular, conference, COUNTY, directive, escalation, place, recipient, TOWN, VILLAGE, welcome } from "./views"

function fold(messages: readonly (GatewayMessage | PageEvent)[], from: State = EMPTY): State {
  return messages.reduce(reduce, from)
}

describe("a directive", () => {
  test("waits for a signature until mine is signed", () => {
    const arrived = fold([directive({ mine: recipient(VILLAGE, "relayed") })])
    expect(unsigned(arrived).map((one) => one.directive)).toEqual(["d1"])
    const signed = fold([{ type: "delivery", directive: "d1", recipient: recipient(VILLAGE, "signed") }], arrived)
    expect(unsigned(signed)).toEqual([])
  })

  test("that was recalled asks nobody to sign", () => {
    expect(unsigned(fold([directive({ state: "recalled", mine: recipient(VILLAGE, "shown") })]))).toEqual([])
  })

  test("is put in front by urgency first, then by age", () => {
    const mine = recipient(VILLAGE, "delivered")
    const state = fold([
      directive({ directive: "routine", urgency: "P3", issued_at: 1, mine }),
      directive({ directive: "later", urgency: "P0", issued_at: 9, mine }),
      directive({ directive: "sooner", urgency: "P0", issued_at: 8, mine }),
    ])
    expect(unsigned(state).map((one) => one.directive)).toEqual(["sooner", "later", "routine"])
  })

  test("keeps its matrix when a later message brings only the header", () => {
    const rows = [recipient(TOWN, "shown"), recipient(VILLAGE, "queued")]
    const state = fold([directive({ recipients: rows, total: 2 }), directive({ recipients: [], total: 2, state: "closed" })])
    expect(state.directives.get("d1")?.recipients).toEqual(rows)
    expect(state.directives.get("d1")?.state).toBe("closed")
  })

  test("counts a signature as delivered and shown, and a row moved replaces its old self", () => {
    const rows = [recipient(TOWN, "signed"), recipient(VILLAGE, "queued")]
    const before = fold([directive({ recipients: rows, total: 2 })])
    expect(tally(before.directives.get("d1")!)).toEqual({ total: 2, delivered: 1, shown: 1, signed: 1, rate: 0.5 })
    const after = fold([{ type: "delivery", directive: "d1", recipient: recipient(VILLAGE, "delivered") }], before)
    expect(tally(after.directives.get("d1")!)).toEqual({ total: 2, delivered: 2, shown: 1, signed: 1, rate: 0.5 })
  })

  test("has a sign-off rate of zero before its matrix is known", () => {
    expect(tally(directive({ total: 0 })).rate).toBe(0)
    expect(tally(directive({ total: 165 }))).toEqual({ total: 165, delivered: 0, shown: 0, signed: 0, rate: 0 })
  })

  test("is counted by the gateway while its rows are not here", () => {
    const view = directive({ total: 10, counts: { delivered: 2, shown: 1, signed: 3, queued: 4 }, sums: { 已转: 7 } })
    expect(tally(view)).toEqual({ total: 10, delivered: 6, shown: 4, signed: 3, rate: 0.3 })
    expect([...totals(view)]).toEqual([["已转", 7]])
  })

  test("is overdue for who has not signed in time, unless it was recalled", () => {
    const view = directive({ sign_by: 1_000 })
    expect(overdue(view, recipient(TOWN, "shown"), 1_001)).toBe(true)
    expect(overdue(view, recipient(TOWN, "shown"), 1_000)).toBe(false)
    expect(overdue(view, recipient(TOWN, "signed"), 1_001)).toBe(false)
    expect(overdue({ ...view, state: "recalled" }, recipient(TOWN, "shown"), 1_001)).toBe(false)
  })

  test("sums the numbers fed back by name", () => {
    const rows = [
      recipient(TOWN, "feedback", { values: { 应转: 30, 已转: 10 } }),
      recipient(VILLAGE, "feedback", { values: { 已转: 5 } }),
    ]
    expect([...totals(directive({ recipients: rows }))]).toEqual([["应转", 30], ["已转", 15]])
  })

  test("has its numbers read out in the order people say them, whatever the order they came in", () => {
    expect(numbers({ 已转: 15, 车辆: 2, 应转: 30 })).toEqual([["应转", 30], ["已转", 15], ["车辆", 2]])
  })

  test("a row of a directive nobody announced changes nothing", () => {
    const state = fold([])
    expect(reduce(state, { type: "delivery", directive: "x", recipient: recipient(TOWN, "shown") })).toBe(state)
  })
})

describe("a meeting", () => {
  const slots = [{ mid: "3", kind: "video", participant: "p2", track: "t2", paused: false, thumbnails: false }]
  const seated = fold([
    welcome(), conference(),
    { type: "joined", request: 1, conference: "c1", participant: "p1", sdp: "", slots: [] },
  ])

  test("takes slots of the conference we sit in and of no other", () => {
    expect(reduce(seated, { type: "slots", conference: "c1", slots }).seat?.slots).toEqual(slots)
    expect(reduce(seated, { type: "slots", conference: "other", slots })).toBe(seated)
  })

  test("that ended is gone, and so is the seat", () => {
    const after = reduce(seated, conference({ ended: true }))
    expect(after.conferences.size).toBe(0)
    expect(after.seat).toBeNull()
  })

  test("forgets seat and roster with the session they belonged to, but no directive", () => {
    const state = fold([directive(), welcome({ session: "s2" })], seated)
    expect(state.seat).toBeNull()
    expect(state.conferences.size).toBe(0)
    expect(state.directives.size).toBe(1)
  })

  test("knows who speaks, and a repeat changes nothing", () => {
    const speaking = reduce(seated, { type: "speaking", conference: "c1", speaker: "p2" })
    expect(speaking.conferences.get("c1")?.speaker).toBe("p2")
    expect(reduce(speaking, { type: "speaking", conference: "c1", speaker: "p2" })).toBe(speaking)
  })
})

describe("circulars", () => {
  test("keeps the newest, and the newer word about one", () => {
    const many = Array.from({ length: MAX_CIRCULARS + 5 }, (_, index) => circular({ circular: `n${index}`, sent_at: index }))
    const state = [...many, circular({ circular: "n99", sent_at: 99, unread: 0 })].reduce<State>(reduce, EMPTY)
    expect(state.circulars.size).toBe(MAX_CIRCULARS)
    expect(state.circulars.has("n0")).toBe(false)
    expect(state.circulars.get("n99")?.unread).toBe(0)
  })

  test("puts what we have not read in front, and only what we were told of is ours to read", () => {
    const answer = { place: TOWN, place_name: "开云镇", by: "王", at: 3, text: "" }
    const read = circular({ circular: "read", sent_at: 9, answers: [answer] })
    const views = [circular({ circular: "old", sent_at: 1 }), circular({ circular: "new", sent_at: 2 }), read]
    const state = views.reduce<State>(reduce, EMPTY)
    expect(circularsFor(state, TOWN).map((view) => view.circular)).toEqual(["new", "old", "read"])
    expect(isUnread(read, TOWN)).toBe(false)
    expect(isUnread(circular(), COUNTY)).toBe(false)
  })
})

describe("alarms", () => {
  test("are kept to a shift's worth, the newest ones", () => {
    const many = Array.from({ length: MAX_ALARMS + 50 }, (_, index) => alarm({ alarm: `a${index}`, raised_at: index }))
    const state = fold(many)
    expect(state.alarms.size).toBe(MAX_ALARMS)
    expect(state.alarms.has("a0")).toBe(false)
    expect(state.alarms.has(`a${MAX_ALARMS + 49}`)).toBe(true)
  })

  test("that are open stand before settled ones, newest first", () => {
    const state = fold([
      alarm({ alarm: "closed", state: "closed", raised_at: 99 }),
      alarm({ alarm: "old", raised_at: 1 }),
      alarm({ alarm: "new", raised_at: 2 }),
    ])
    expect(alarmsByTime(state).map((one) => one.alarm)).toEqual(["new", "old", "closed"])
  })
})

describe("places", () => {
  const known = fold([{ type: "places", places: [place(COUNTY, null), place(TOWN, COUNTY)] }])

  test("come and go", () => {
    const state = reduce(known, { type: "node", node: TOWN, online: true, terminals: 2 })
    expect(state.places.get(TOWN)).toMatchObject({ online: true, terminals: 2 })
  })

  test("nobody has heard of change nothing, nor does a repeat", () => {
    expect(reduce(known, { type: "node", node: "x", online: true, terminals: 0 })).toBe(known)
    expect(reduce(known, { type: "node", node: TOWN, online: false, terminals: 0 })).toBe(known)
  })
})

test("a message of a newer gateway is passed over", () => {
  const newer = { type: "floor_granted" } as unknown as GatewayMessage
  expect(reduce(EMPTY, newer)).toBe(EMPTY)
})

describe("a list of those not reached", () => {
  test("stands until everybody was reached or the directive is over, what nobody has in hand first", () => {
    const by = { name: "镇长", role: "commander", division: TOWN } as const
    const taken = escalation({ escalation: "taken", raised_at: 20, acknowledged_by: by, acknowledged_at: 30 })
    let state = fold([taken, escalation(), escalation({ escalation: "later", raised_at: 11 })])
    expect(notReached(state).map((one) => one.escalation)).toEqual(["later", `d1:${TOWN}:1`, "taken"])
    const rows = [{ ...escalation().rows[0]!, reached_at: 40, reached_by: "赵支书" }]
    state = fold([escalation({ rows }), escalation({ escalation: "later", open: false })], state)
    expect(notReached(state).map((one) => one.escalation)).toEqual(["taken"])
  })
})

describe("a card of many alarms", () => {
  test("takes the place of the cards its alarms had", () => {
    const state = fold([alarm({ alarm: "a" }), alarm({ alarm: "b" }), alarm({ alarm: "a", count: 2 }), alarm({ alarm: "b", card: "a" })])
    expect([...state.alarms.values()].map((one) => [one.alarm, one.count])).toEqual([["a", 2]])
  })

  test("is unmoved by an alarm that never had a card", () => {
    const state = fold([alarm({ alarm: "a" })])
    expect(fold([alarm({ alarm: "b", card: "a" })], state).alarms).toBe(state.alarms)
  })

  test("knows who may be called above, nearest first", () => {
    const places = [place(COUNTY, null), place(TOWN, COUNTY), place(VILLAGE, TOWN)]
    const state = fold([{ type: "places", places }])
    expect(lineAbove(state, VILLAGE).map((one) => one.code)).toEqual([TOWN, COUNTY])
    expect(lineAbove(state, COUNTY)).toEqual([])
    expect(lineAbove(EMPTY, VILLAGE)).toEqual([])
  })

  test("names what a unit says next", () => {
    expect([null, "acknowledged", "out", "on_site", "handled", "returned"].map((one) => nextState(one as UnitState | null))).toEqual(
      ["acknowledged", "out", "on_site", "handled", "returned", null],
    )
  })

  test("has clocks that are met, missed or running", () => {
    const clock = { clock: "response", due: 100, met_at: null }
    expect(clockState(clock, 100)).toBe("running")
    expect(clockState(clock, 101)).toBe("missed")
    expect(clockState({ ...clock, met_at: 100 }, 900)).toBe("met")
    expect(clockState({ ...clock, met_at: 101 }, 101)).toBe("missed")
  })
})

test("whoever should keep watch and is silent is named until it is heard again", () => {
  const said = (seconds: number, missed = 0): Silence => ({ type: "silence", of: "auditor", seconds, missed, faults: 0 })
  const silent = fold([said(12)])
  expect(silent.watches.get("auditor")).toEqual(said(12))
  expect(fold([said(0, 2)], silent).watches.get("auditor")).toEqual(said(0, 2))
  expect(fold([welcome()], silent).watches.size).toBe(0)
})

describe("versions", () => {
  const skew = (part: Partial<Skew> = {}): Skew => ({ type: "skew", node: TOWN, theirs: 3, ours: 2, held: 0, refused: false, ...part })

  test("a neighbour of another version is told of while it costs something", () => {
    const held = reduce(EMPTY, skew({ held: 2 }))
    expect(held.skews.get(TOWN)?.held).toBe(2)
    expect(reduce(held, skew()).skews.size).toBe(0)
    expect(reduce(EMPTY, skew({ refused: true })).skews.size).toBe(1)
    expect(reduce(held, welcome()).skews.size).toBe(0)
  })

  test("a page that is older than the gateway is told to load itself anew", () => {
    expect(outdated(reduce(EMPTY, welcome({ version: VERSION })))).toBe(false)
    expect(outdated(reduce(EMPTY, welcome({ version: VERSION + 1 })))).toBe(true)
    expect(outdated(EMPTY)).toBe(false)
  })
})

test("who is on duty now stands in the rows of that post, and nowhere else", () => {
  const leader = recipient(VILLAGE, "shown", { post: "带班领导", on_duty: "李镇长" })
  const officer = recipient(TOWN, "shown", { post: "值班员", on_duty: "周主任" })
  const state = reduce(EMPTY, directive({ recipients: [leader, officer], total: 2 }))
  const duty: DutyChanged = {
    type: "duty",
    posts: [
      { division: TOWN, post: "值班员", people: ["吴书记", "李支书"] },
      { division: VILLAGE, post: "值班员", people: ["赵网格"] },
    ],
  }
  const after = reduce(state, duty)
  expect(after.directives.get("d1")?.recipients).toEqual([leader, { ...officer, on_duty: "吴书记", also_on_duty: ["李支书"] }])
  expect(after.duty).toBe(duty)
  const nobody = reduce(after, { type: "duty", posts: [{ division: TOWN, post: "值班员", people: [] }] })
  expect(nobody.directives.get("d1")?.recipients[1]).toEqual({ ...officer, on_duty: "" })
  expect([leader, after.directives.get("d1")?.recipients[1] ?? null, null].map(onDuty)).toEqual([["李镇长"], ["吴书记", "李支书"], []])
})
