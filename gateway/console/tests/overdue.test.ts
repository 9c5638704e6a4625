import { expect, test } from "vitest"
import { EMPTY, overdueByUrgency, reduce, type State } from "../src/protocol"
import { lateness } from "../src/terminal/overdue"
import type { GatewayMessage } from "../src/wire"
import { overdueList, TOWN, VILLAGE, welcome } from "./views"

const fold = (messages: GatewayMessage[], state: State = EMPTY): State => messages.reduce(reduce, state)

test("lists stand until nothing on them is to be done; those in hand come last", () => {
  const by = { name: "李", role: "commander", division: TOWN } as const
  const taken = overdueList({ overdue: "taken", raised_at: 30, acknowledged_by: by })
  let state = fold([taken, overdueList({ overdue: "a", urgency: "P2", raised_at: 20 }), overdueList({ overdue: "b" })])
  expect(overdueByUrgency(state).map((view) => view.overdue)).toEqual(["b", "a", "taken"])
  state = fold([overdueList({ overdue: "b", open: false })], state)
  expect(overdueByUrgency(state).map((view) => view.overdue)).toEqual(["a", "taken"])
  expect(fold([welcome()], state).overdue.size).toBe(0)
})

test("the late one hears what it owes, its superior hears who is late", () => {
  expect(lateness(overdueList(), VILLAGE)).toBe("超时：未响应")
  expect(lateness(overdueList(), TOWN)).toBe("超时上报：八里村 未响应")
  const unit = { ...overdueList().rows[0]!, kind: "unit" as const, name: "民兵排" }
  expect(lateness(overdueList({ rows: [{ ...unit, ended: true }, unit] }), VILLAGE)).toBe("超时：民兵排 派出后未到场")
})
