import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { EMPTY, reduce, type State } from "../src/protocol"
import { Duty } from "../src/terminal/duty"
import { RATE_PER_S, Receipts } from "../src/terminal/receipts"
import type { DirectiveView } from "../src/wire"
import { directive, recipient, VILLAGE } from "./views"

const OPEN = 500
const GATEWAY_RATE_PER_S = 50
const GATEWAY_BURST = 50

/** The gateway's side: what it heard, and whether it would have ended the session for too much of it. */
class Gateway {
  heard: string[] = []
  tooFast = false
  up = true
  private room = GATEWAY_BURST
  private filled = Date.now()

  hear(said: string): boolean {
    if (!this.up) return false
    this.room = Math.min(GATEWAY_BURST, this.room + ((Date.now() - this.filled) / 1_000) * GATEWAY_RATE_PER_S)
    this.filled = Date.now()
    this.tooFast ||= this.room < 1
    this.room -= 1
    this.heard.push(said)
    return true
  }
}

let gateway: Gateway

beforeEach(() => {
  vi.useFakeTimers()
  gateway = new Gateway()
})

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

const receipts = (): Receipts => new Receipts((id, stage) => gateway.hear(`${id} ${stage}`), () => Date.now())

function terminal(waiting: Receipts): Duty {
  return new Duty({
    report: (id, stage) => waiting.add(id, stage),
    forget: () => waiting.clear(),
    ring: () => undefined,
    silence: () => undefined,
    rung: new Set<string>(),
    aside: new Set<string>(),
  })
}

const open = (n: number): DirectiveView =>
  directive({ directive: `d${n}`, issued_at: n, mine: recipient(VILLAGE, "relayed") })

function opening(duty: Duty, from: State = EMPTY): State {
  let state = from
  for (let n = 0; n < OPEN; n += 1) {
    state = reduce(state, open(n))
    duty.follow(state)
  }
  return state
}

const numbers = (stage: string): number[] =>
  gateway.heard.filter((said) => said.endsWith(` ${stage}`)).map((said) => Number(/^d(\d+)/.exec(said)![1])).sort((a, b) => a - b)
const everyone = Array.from({ length: OPEN }, (_, n) => n)

describe("a terminal that returns to 500 open directives", () => {
  test("knows all of them, stays connected, and reports each delivered once", () => {
    const waiting = receipts()
    const state = opening(terminal(waiting))
    vi.advanceTimersByTime((OPEN / RATE_PER_S + 2) * 1_000)
    expect(state.directives.size).toBe(OPEN)
    expect([gateway.tooFast, waiting.count]).toEqual([false, 0])
    expect(numbers("delivered")).toEqual(everyone)
    expect(numbers("shown")).toEqual([])
  })

  test("reports one shown when it is on the screen, before those that were only delivered", () => {
    const waiting = receipts()
    const duty = terminal(waiting)
    const state = opening(duty)
    const front = duty.front(state)!
    vi.advanceTimersByTime(1_000)
    expect(numbers("shown")).toEqual([])
    duty.painted(front)
    const last = state.directives.get(`d${OPEN - 1}`)!
    duty.painted(last) // its delivery still waits: one receipt says both
    vi.advanceTimersByTime(1_000)
    expect(numbers("shown")).toEqual([0, OPEN - 1])
    vi.advanceTimersByTime(60_000)
    expect(gateway.tooFast).toBe(false)
    expect(numbers("delivered")).toEqual(everyone.slice(0, -1))
  })

  test("is not too fast either when its page is hidden and timers come once a second", () => {
    const waiting = receipts()
    const soon = globalThis.setTimeout
    vi.stubGlobal("setTimeout", (work: () => void, ms: number) => soon(work, Math.max(1_000, ms)))
    opening(terminal(waiting))
    vi.advanceTimersByTime((OPEN / RATE_PER_S) * 1_000)
    expect([gateway.tooFast, waiting.count]).toEqual([false, 0])
    expect(numbers("delivered")).toEqual(everyone)
  })

  test("whose line falls says to the next session what the last one may not have heard", () => {
    const waiting = receipts()
    const duty = terminal(waiting)
    const state = opening(duty)
    vi.advanceTimersByTime(2_000)
    gateway.up = false
    vi.advanceTimersByTime(2_000)
    expect(waiting.count).toBe(0)
    gateway = new Gateway()
    duty.welcomed()
    opening(duty, state)
    vi.advanceTimersByTime((OPEN / RATE_PER_S + 2) * 1_000)
    expect(gateway.tooFast).toBe(false)
    expect(numbers("delivered")).toEqual(everyone)
  })
})
