import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { FIRST_RETRY_MS, LAST_RETRY_MS } from "../src/backoff"
import { Connection, RequestFailed, type Status } from "../src/connection"
import { VERSION } from "../src/wire"
import { welcome } from "./views"

/** The browser's side of a socket; the test is the gateway. */
class FakeSocket {
  static readonly OPEN = 1
  static made: FakeSocket[] = []
  readyState = 0
  sent: string[] = []
  code: number | undefined
  onopen: (() => void) | null = null
  onmessage: ((event: { data: string }) => void) | null = null
  onclose: (() => void) | null = null

  constructor(readonly url: string) {
    FakeSocket.made.push(this)
  }

  send(text: string): void {
    this.sent.push(text)
  }

  close(code?: number): void {
    this.readyState = 3
    this.code = code
  }

  open(): void {
    this.readyState = 1
    this.onopen?.()
  }

  say(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) })
  }

  cut(): void {
    this.readyState = 3
    this.onclose?.()
  }
}

const newest = (): FakeSocket => FakeSocket.made[FakeSocket.made.length - 1]!
const last = (socket: FakeSocket): Record<string, unknown> => JSON.parse(socket.sent[socket.sent.length - 1]!)
let statuses: Status["kind"][]
let healthy: boolean

function connected(): Connection {
  const connection = new Connection("secret")
  connection.onStatus = (status) => statuses.push(status.kind)
  connection.start()
  newest().open()
  newest().say(welcome())
  return connection
}

beforeEach(() => {
  vi.useFakeTimers()
  FakeSocket.made = []
  statuses = []
  healthy = true
  vi.stubGlobal("window", globalThis)
  vi.stubGlobal("location", { protocol: "https:", host: "county.test" })
  vi.stubGlobal("addEventListener", () => undefined)
  vi.stubGlobal("removeEventListener", () => undefined)
  vi.stubGlobal("WebSocket", FakeSocket)
  vi.stubGlobal("fetch", () => (healthy ? Promise.resolve(new Response("ok")) : Promise.reject(new TypeError("gone"))))
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe("a connection", () => {
  test("says so when the gateway does not understand a page of this version, and goes on trying", () => {
    const connection = connected()
    let told = 0
    connection.onOutdated = () => (told += 1)
    newest().say({ type: "failure", code: "version-mismatch", text: "", request: null })
    newest().cut()
    expect([told, statuses.at(-1)]).toEqual([1, "waiting"])
  })

  test("says hello with its token, which is in no address", () => {
    connected()
    expect(newest().url).toBe("wss://county.test/ws")
    expect(JSON.parse(newest().sent[0]!)).toEqual({ type: "hello", version: VERSION, token: "secret", client: "web", resume: "" })
    expect(statuses).toEqual(["connecting", "online"])
  })

  test("names the session it goes on for, and each only once", () => {
    connected()
    for (const resume of ["r2", "r3"]) {
      const before = JSON.parse(newest().sent[0]!).resume
      newest().cut()
      vi.advanceTimersByTime(LAST_RETRY_MS)
      newest().open()
      expect(JSON.parse(newest().sent[0]!).resume).not.toBe(before)
      newest().say(welcome({ resume }))
    }
    newest().cut()
    vi.advanceTimersByTime(LAST_RETRY_MS)
    newest().open()
    expect(JSON.parse(newest().sent[0]!).resume).toBe("r3")
  })

  test("keeps its seat when it lets go of a dead line, and gives it up when it is stopped", async () => {
    const connection = connected()
    const dead = newest()
    healthy = false
    await vi.advanceTimersByTimeAsync(30_001)
    expect(dead.code).toBeUndefined()
    await vi.advanceTimersByTimeAsync(LAST_RETRY_MS)
    const live = newest()
    connection.stop()
    expect(live.code).toBe(1000)
  })

  test("dials again for ever, never later than 15 seconds after a failure", () => {
    connected()
    for (let round = 0; round < 12; round++) {
      const before = FakeSocket.made.length
      newest().cut()
      expect(statuses[statuses.length - 1]).toBe("waiting")
      let waited = 0
      for (; FakeSocket.made.length === before; waited += 100) vi.advanceTimersByTime(100)
      expect(waited).toBeGreaterThanOrEqual(FIRST_RETRY_MS)
      expect(waited).toBeLessThanOrEqual(LAST_RETRY_MS)
    }
  })

  test("does not wait for ever for a welcome", () => {
    new Connection("secret").start()
    newest().open()
    const silent = newest()
    vi.advanceTimersByTime(10_000 + LAST_RETRY_MS)
    expect(newest()).not.toBe(silent)
  })

  test("notices a line that is dead without saying so", async () => {
    connected()
    const dead = newest()
    healthy = false
    await vi.advanceTimersByTimeAsync(30_001)
    expect(statuses).toContain("waiting")
    await vi.advanceTimersByTimeAsync(LAST_RETRY_MS)
    expect(newest()).not.toBe(dead)
  })

  test("stays on a line whose gateway answers", async () => {
    connected()
    await vi.advanceTimersByTimeAsync(600_000)
    expect(FakeSocket.made.length).toBe(1)
  })

  test("gives up, and says why, when its token is refused", () => {
    const connection = new Connection("old")
    connection.onStatus = (status) => statuses.push(status.kind)
    connection.start()
    newest().open()
    newest().say({ type: "failure", code: "token-expired", text: "", request: null })
    expect(connection.status).toEqual({ kind: "signed-out", code: "token-expired" })
    vi.advanceTimersByTime(600_000)
    expect(FakeSocket.made.length).toBe(1)
  })

  test("survives a frame that is not a message", () => {
    const connection = connected()
    newest().onmessage?.({ data: "{not json" })
    expect(connection.status.kind).toBe("online")
  })

  test("says when it could not send", () => {
    const connection = connected()
    expect(connection.send({ type: "receipt", directive: "d1", stage: "shown" })).toBe(true)
    newest().cut()
    expect(connection.send({ type: "receipt", directive: "d1", stage: "shown" })).toBe(false)
  })
})

describe("a request", () => {
  test("is answered by its number", async () => {
    const connection = connected()
    const first = connection.request({ type: "leave" })
    const firstNumber = last(newest())["request"]
    const second = connection.request({ type: "watch", slot: 0, participant: null })
    newest().say({ type: "done", request: last(newest())["request"] })
    newest().say({ type: "failure", code: "not-joined", text: "", request: firstNumber })
    await expect(second).resolves.toMatchObject({ type: "done" })
    await expect(first).rejects.toMatchObject({ code: "not-joined" })
  })

  test("without an answer ends as a timeout, and with the line as offline", async () => {
    const connection = connected()
    const slow = connection.request({ type: "leave" })
    const ended = expect(slow).rejects.toMatchObject({ code: "timeout" })
    await vi.advanceTimersByTimeAsync(15_001)
    await ended
    const cut = connection.request({ type: "leave" })
    newest().cut()
    await expect(cut).rejects.toMatchObject({ code: "offline" })
    await expect(connection.request({ type: "leave" })).rejects.toBeInstanceOf(RequestFailed)
  })
})
