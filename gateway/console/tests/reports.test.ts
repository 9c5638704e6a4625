import { expect, test } from "vitest"
import { ApiError, type AlarmReport } from "../src/api"
import { MAX_WAITING, Reports, type Shelf, type Waiting } from "../src/reports"

class Memory implements Shelf {
  readonly kept = new Map<string, Waiting>()
  async all(): Promise<readonly Waiting[]> {
    return [...this.kept.values()]
  }
  async put(one: Waiting): Promise<void> {
    this.kept.set(one.report.event, one)
  }
  async remove(event: string): Promise<void> {
    this.kept.delete(event)
  }
}

function report(event: string): AlarmReport {
  return { event, kind: "flood", text: event, urgency: "P1", exercise: false, longitude: null, latitude: null, datum: "wgs84" }
}

const offline = new ApiError("unreachable", 0, "")

test("what could not be sent waits, and goes out in order when the line is back", async () => {
  const shelf = new Memory()
  const sent: string[] = []
  let line = false
  const send = async (one: AlarmReport) => {
    if (!line) throw offline
    sent.push(one.event)
  }
  const reports = new Reports("张三", shelf, send)
  await reports.add(report("b"), null, 2)
  await reports.add(report("a"), null, 1)
  await reports.flush()
  expect([sent, reports.count]).toEqual([[], 2])
  line = true
  const reloaded = new Reports("张三", shelf, send) // after a reload of the page
  await reloaded.flush()
  expect([sent, reloaded.count]).toEqual([["a", "b"], 0])
})

test("a report is sent in nobody else's name", async () => {
  const shelf = new Memory()
  await new Reports("张三", shelf, async () => {}).add(report("a"), null, 1)
  const sent: string[] = []
  const other = new Reports("李四", shelf, async (one) => sent.push(one.event))
  await other.flush()
  expect([sent, other.count, shelf.kept.size]).toEqual([[], 0, 1])
})

test("one that the gateway refuses is told and does not hold up the others", async () => {
  const shelf = new Memory()
  const sent: string[] = []
  const reports = new Reports("张三", shelf, async (one) => {
    if (one.event === "bad") throw new ApiError("bad-text", 422, "")
    sent.push(one.event)
  })
  const refused: string[] = []
  reports.onRefused = (error) => refused.push(error.code)
  await reports.add(report("bad"), null, 1)
  await reports.add(report("good"), null, 2)
  await reports.flush()
  expect([sent, refused, shelf.kept.size]).toEqual([["good"], ["bad-text"], 0])
})

test("a busy gateway and a sign-in that is over are waited for", async () => {
  for (const status of [429, 503, 401]) {
    const shelf = new Memory()
    const reports = new Reports("张三", shelf, () => Promise.reject(new ApiError("x", status, "")))
    await reports.add(report("a"), null, 1)
    await reports.flush()
    expect(reports.count).toBe(1)
  }
})

test("what waits is bounded", async () => {
  const reports = new Reports("张三", new Memory(), async () => {})
  for (let n = 0; n < MAX_WAITING; n++) await reports.add(report(String(n)), null, n)
  await expect(reports.add(report("more"), null, 99)).rejects.toThrow()
})
