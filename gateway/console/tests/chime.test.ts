import { expect, test } from "vitest"
import { NewAlarms, NewOverdue } from "../src/chime"
import { alarm, overdueList, TOWN, welcome } from "./views"

const OPENED = 10_000_000

function opened(known = new Set<string>()): NewAlarms {
  const news = new NewAlarms(known)
  news.heard(welcome({ now: OPENED }))
  return news
}

const fresh = (id: string) => alarm({ alarm: id, raised_at: OPENED + 1 })

test("an alarm is new once, although its card comes again with the picture", () => {
  const news = opened()
  expect(news.heard(fresh("a"))).toBe(true)
  expect(news.heard({ ...fresh("a"), picture: "0".repeat(64) })).toBe(false)
  expect(news.heard(fresh("b"))).toBe(true)
})

test("what a reload or a reconnect tells again is not new, what happened meanwhile is", () => {
  const known = new Set<string>()
  opened(known).heard(fresh("a"))
  const reloaded = opened(known)
  expect(reloaded.heard(fresh("a"))).toBe(false)
  reloaded.heard(welcome({ now: OPENED + 3_600_000 }))
  expect(reloaded.heard(fresh("a"))).toBe(false)
  expect(reloaded.heard(fresh("while the line was down"))).toBe(true)
})

test("alarms of yesterday and settled ones are not new", () => {
  const news = opened()
  expect(news.heard(alarm({ alarm: "old", raised_at: 1 }))).toBe(false)
  expect(news.heard({ ...fresh("c"), state: "handled" })).toBe(false)
})

test("a card of many alarms is new once, and again when it becomes urgent or is opened again", () => {
  const news = opened()
  const card = { ...fresh("a"), urgency: "P3" as const }
  expect(news.heard(card)).toBe(true)
  expect(news.heard({ ...card, count: 700, newest_at: OPENED + 9_000 })).toBe(false)
  expect(news.heard({ ...card, urgency: "P2" })).toBe(false)
  expect(news.heard({ ...card, state: "confirmed", urgency: "P0" })).toBe(true)
  expect(news.heard({ ...card, state: "confirmed", urgency: "P0", count: 701 })).toBe(false)
  expect(news.heard({ ...card, urgency: "P0", reopened: 1 })).toBe(true)
})

test("an alarm on another's card is not new", () => {
  expect(opened().heard({ ...fresh("b"), card: "a" })).toBe(false)
})

test("what is overdue rings once, and not when somebody has it in hand or it is done", () => {
  const news = new NewOverdue(new Set<string>())
  const by = { name: "李", role: "commander", division: TOWN } as const
  expect(news.heard(overdueList({ overdue: "taken", acknowledged_by: by }))).toBe(false)
  expect(news.heard(overdueList({ overdue: "done", open: false }))).toBe(false)
  expect(news.heard(overdueList())).toBe(true)
  expect(news.heard(overdueList())).toBe(false)
  expect(news.heard(alarm())).toBe(false)
})
