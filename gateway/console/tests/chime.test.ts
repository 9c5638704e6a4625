import { expect, test } from "vitest"
import { NewAlarms } from "../src/chime"
import { alarm, welcome } from "./views"

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
