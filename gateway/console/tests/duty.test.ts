import { beforeEach, describe, expect, test } from "vitest"
import { EMPTY, reduce, type State } from "../src/protocol"
import { Duty } from "../src/terminal/duty"
import type { DirectiveView, GatewayMessage } from "../src/wire"
import { directive, recipient, VILLAGE } from "./views"

let sent: string[]
let rings: string[]
let silences: number
let rung: Set<string>
let aside: Set<string>

function duty(): Duty {
  return new Duty({
    report: (id, stage) => sent.push(`${id} ${stage}`),
    forget: () => undefined,
    ring: (view) => rings.push(view.directive),
    silence: () => silences++,
    rung,
    aside,
  })
}

function hear(machine: Duty, state: State, message: GatewayMessage): State {
  const next = reduce(state, message)
  machine.follow(next)
  return next
}

const fresh = (id: string, part: Partial<DirectiveView> = {}): DirectiveView =>
  directive({ directive: id, mine: recipient(VILLAGE, "relayed"), ...part })

beforeEach(() => {
  sent = []
  rings = []
  silences = 0
  rung = new Set()
  aside = new Set()
})

describe("a directive that arrives", () => {
  test("is reported delivered at once, and shown only when it was painted", () => {
    const machine = duty()
    const state = hear(machine, EMPTY, fresh("d1"))
    expect(sent).toEqual(["d1 delivered"])
    machine.painted(machine.front(state)!)
    expect(sent).toEqual(["d1 delivered", "d1 shown"])
  })

  test("rings once, however often it comes", () => {
    const machine = duty()
    let state = hear(machine, EMPTY, fresh("d1"))
    machine.confirmed("d1")
    state = hear(machine, state, fresh("d1"))
    machine.welcomed()
    hear(machine, state, fresh("d1"))
    expect(rings).toEqual(["d1"])
  })

  test("does not ring again after a reload of the page", () => {
    hear(duty(), EMPTY, fresh("d1"))
    hear(duty(), EMPTY, fresh("d1"))
    expect(rings).toEqual(["d1"])
  })

  test("rings again, in front, when the gateway's clock says that nobody has signed", () => {
    const machine = duty()
    let state = hear(machine, EMPTY, fresh("d1", { mine: recipient(VILLAGE, "shown") }))
    machine.setAside("d1")
    expect([rings, machine.front(state)]).toEqual([[], null])
    machine.again("d1")
    machine.follow(state)
    expect(rings).toEqual(["d1"])
    expect(machine.front(state)?.directive).toBe("d1")
    machine.again("d1") // it rings already
    machine.confirmed("d1")
    expect(machine.front(state)).toBeNull()
    state = hear(machine, state, { type: "ring", directive: "d1", n: 2 })
    expect(rings).toEqual(["d1"])
    machine.again("d1")
    state = hear(machine, state, { type: "delivery", directive: "d1", recipient: recipient(VILLAGE, "signed") })
    machine.follow(state)
    expect(rings).toEqual(["d1"])
  })

  test("does not ring when another terminal of the place has shown it, but stays in front", () => {
    const machine = duty()
    const state = hear(machine, EMPTY, fresh("d1", { mine: recipient(VILLAGE, "shown") }))
    expect(rings).toEqual([])
    expect(machine.front(state)?.directive).toBe("d1")
  })

  test("falls silent when it is signed elsewhere or recalled", () => {
    const machine = duty()
    let state = hear(machine, EMPTY, fresh("d1"))
    state = hear(machine, state, { type: "delivery", directive: "d1", recipient: recipient(VILLAGE, "signed") })
    expect(silences).toBe(1)
    state = hear(machine, state, fresh("d2"))
    hear(machine, state, fresh("d2", { state: "recalled" }))
    expect(silences).toBe(2)
  })

  test("waits with its ring until the one before is confirmed", () => {
    const machine = duty()
    let state = hear(machine, EMPTY, fresh("d1"))
    state = hear(machine, state, fresh("d2"))
    expect(rings).toEqual(["d1"])
    machine.setAside("d1")
    machine.follow(state)
    expect(rings).toEqual(["d1", "d2"])
    expect(machine.front(state)?.directive).toBe("d2")
  })
})

describe("a receipt", () => {
  test("is sent once per session, and again to a new session that does not know it", () => {
    const machine = duty()
    let state = hear(machine, EMPTY, fresh("d1"))
    state = hear(machine, state, fresh("d1"))
    expect(sent).toEqual(["d1 delivered"])
    machine.welcomed()
    hear(machine, state, fresh("d1"))
    expect(sent).toEqual(["d1 delivered", "d1 delivered"])
  })

  test("of showing is not sent for what the gateway knows was shown", () => {
    const machine = duty()
    machine.painted(fresh("d1", { mine: recipient(VILLAGE, "shown") }))
    expect(sent).toEqual([])
  })
})
