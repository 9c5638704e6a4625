import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { RequestFailed, type Connection } from "../src/connection"
import { Meeting } from "../src/meeting"
import { byStream } from "../src/peer"
import type { ClientMessage } from "../src/wire"
import { held } from "./views"

const UDP = "a=candidate:1 1 udp 2130706431 10.0.0.1 8804 typ host\r\n"
const TCP = "a=candidate:t0 1 tcp 1671430143 10.0.0.1 8804 typ host tcptype passive\r\n"

/** The browser's end of the media; the test is the network. */
class FakePeer {
  static made: FakePeer[] = []
  connectionState = "new"
  iceConnectionState = "new"
  localDescription: { sdp: string } | null = null
  remoteDescription: { sdp: string } | null = null
  answers: string[] = []
  onconnectionstatechange: (() => void) | null = null
  oniceconnectionstatechange: (() => void) | null = null
  private offers = 0

  constructor() {
    FakePeer.made.push(this)
  }

  addTransceiver(): unknown {
    const track = { kind: "video" }
    return { mid: "0", sender: { replaceTrack: () => Promise.resolve() }, receiver: { track } }
  }

  createOffer(options?: { iceRestart?: boolean }): Promise<{ sdp: string }> {
    this.offers += options?.iceRestart === true ? 1 : 0
    return Promise.resolve({ sdp: `offer ${FakePeer.made.indexOf(this)}.${this.offers}` })
  }

  setLocalDescription(offer: { sdp: string }): Promise<void> {
    this.localDescription = offer
    return Promise.resolve()
  }

  setRemoteDescription(answer: { sdp: string }): Promise<void> {
    this.remoteDescription = answer
    this.answers.push(answer.sdp)
    return Promise.resolve()
  }

  getStats(): Promise<Map<string, unknown>> {
    return Promise.resolve(new Map())
  }

  close(): void {
    this.connectionState = "closed"
  }

  is(connection: string, ice: string): void {
    this.connectionState = connection
    this.iceConnectionState = ice
    this.oniceconnectionstatechange?.()
    this.onconnectionstatechange?.()
  }
}

/** The gateway: answers requests at once, or refuses the kinds in `refuses`. */
class FakeGateway {
  status = { kind: "online" }
  requests: Record<string, unknown>[] = []
  sent: ClientMessage[] = []
  refuses: Record<string, string> = {}
  candidates = UDP + TCP

  send(message: ClientMessage): boolean {
    this.sent.push(message)
    return true
  }

  request(message: { type: string }): Promise<unknown> {
    this.requests.push(message)
    const code = this.refuses[message.type]
    if (code !== undefined) return Promise.reject(new RequestFailed(code, ""))
    const type = { join: "joined", restart: "restarted" }[message.type] ?? "done"
    return Promise.resolve({ type, sdp: this.candidates })
  }

  get said(): unknown[] {
    return this.requests.map((one) => ("sdp" in one ? [one["type"], one["sdp"]] : [one["type"]]))
  }
}

let gateway: FakeGateway
let meeting: Meeting
let moved: () => void

const peer = (): FakePeer => FakePeer.made[FakePeer.made.length - 1]!
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

async function joined(): Promise<void> {
  await meeting.join("c1")
  await pass(0)
}

async function connected(): Promise<void> {
  await joined()
  peer().is("connected", "connected")
}

beforeEach(() => {
  vi.useFakeTimers()
  FakePeer.made = []
  gateway = new FakeGateway()
  vi.stubGlobal("window", globalThis)
  vi.stubGlobal("addEventListener", (name: string, act: () => void) => {
    if (name === "online") moved = act
  })
  vi.stubGlobal("navigator", { mediaDevices: {} })
  vi.stubGlobal("localStorage", { getItem: () => null })
  vi.stubGlobal("RTCPeerConnection", FakePeer)
  vi.stubGlobal("RTCRtpReceiver", { getCapabilities: () => null })
  vi.stubGlobal("MediaStream", class {})
  meeting = new Meeting(gateway as unknown as Connection, () => 1, () => new Map())
})

afterEach(() => {
  vi.clearAllTimers()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe("a seat whose way is lost", () => {
  test("asks for a new way with new credentials on the same connection", async () => {
    await connected()
    peer().is("disconnected", "disconnected")
    await pass(0)
    expect(gateway.said).toEqual([["join", "offer 0.0"], ["restart", "offer 0.1"]])
    expect(peer().answers).toHaveLength(2)
    peer().is("connected", "connected")
    await pass(60_000)
    expect(FakePeer.made).toHaveLength(1)
    expect(meeting.view.phase).toBe("live")
  })

  test("is taken anew when the new way is refused", async () => {
    await connected()
    gateway.refuses = { restart: "sdp-changed" }
    peer().is("disconnected", "disconnected")
    await pass(0)
    expect(gateway.said.slice(2)).toEqual([["leave"], ["join", "offer 1.0"]])
    expect(FakePeer.made[0]!.connectionState).toBe("closed")
  })

  test("is taken anew when the new way does not come up either", async () => {
    await connected()
    peer().is("disconnected", "disconnected")
    await pass(4_999)
    expect(FakePeer.made).toHaveLength(1)
    await pass(2)
    expect(FakePeer.made).toHaveLength(2)
  })

  test("waits for the line before it asks", async () => {
    await connected()
    gateway.status = { kind: "waiting" }
    peer().is("disconnected", "disconnected")
    await pass(1_000)
    expect(gateway.requests).toHaveLength(1)
    gateway.status = { kind: "online" }
    meeting.resume("p1")
    await pass(0)
    expect(gateway.said.slice(1)).toEqual([["restart", "offer 0.1"]])
  })

  test("asks at once when the device moves to another network, and once at a time", async () => {
    await connected()
    moved()
    moved()
    await pass(0)
    expect(gateway.said.slice(1)).toEqual([["restart", "offer 0.1"]])
  })
})

describe("a line that came back", () => {
  test("finds the seat and leaves good media alone", async () => {
    await connected()
    gateway.sent = []
    meeting.resume("p1")
    await pass(0)
    expect(gateway.requests).toHaveLength(1)
    expect(gateway.sent).toEqual([{ type: "publishing", audio: false, video: false, content: false }])
  })

  test("finds no seat and takes one", async () => {
    await connected()
    meeting.resume(null)
    await pass(0)
    expect(gateway.said.slice(1)).toEqual([["leave"], ["join", "offer 1.0"]])
  })
})

describe("a way that carries small datagrams only", () => {
  test("is left for TCP, and everything is tried on another network", async () => {
    await joined()
    peer().is("connecting", "connected")
    await pass(3_999)
    expect(gateway.requests).toHaveLength(1)
    await pass(2)
    expect(gateway.said.slice(1)).toEqual([["leave"], ["join", "offer 1.0"]])
    expect(FakePeer.made[0]!.answers).toEqual([UDP + TCP])
    expect(peer().answers).toEqual([TCP])
    peer().is("connected", "connected")
    await pass(60_000)
    expect(FakePeer.made).toHaveLength(2)
    moved()
    await pass(0)
    expect(peer().answers).toEqual([TCP, UDP + TCP])
  })

  test("is seen whichever of the browser's two states changes first", async () => {
    await joined()
    peer().is("new", "connected")
    await pass(1_000)
    peer().connectionState = "connecting"
    peer().onconnectionstatechange?.()
    await pass(4_001)
    expect(gateway.said.slice(1)).toEqual([["leave"], ["join", "offer 1.0"]])
  })

  test("is not what a slow way is", async () => {
    await joined()
    peer().is("connecting", "checking")
    await pass(20_000)
    peer().is("connecting", "connected")
    await pass(3_900)
    peer().is("connected", "connected")
    await pass(60_000)
    expect(gateway.requests).toHaveLength(1)
  })

  test("is waited for when there is no other", async () => {
    for (const candidates of [UDP, TCP]) {
      gateway.candidates = candidates
      await joined()
      const made = FakePeer.made.length
      peer().is("connecting", "connected")
      await pass(60_000)
      expect(FakePeer.made).toHaveLength(made)
    }
  })

  test("keeps its candidates when there is no other way", () => {
    expect(byStream(UDP)).toBe(UDP)
    expect(byStream(`v=0\r\n${UDP}${TCP}a=end-of-candidates\r\n`)).toBe(`v=0\r\n${TCP}a=end-of-candidates\r\n`)
  })
})

describe("a meeting chosen while another one is being left", () => {
  test("is the one that is entered, whatever was chosen before it", async () => {
    await connected()
    const left = held<unknown>()
    const answer = gateway.request.bind(gateway)
    gateway.request = (message) => (message.type === "leave" ? left.promise : answer(message))
    const seen: (string | null)[] = []
    meeting.onChange = (view) => seen.push(view.conference)
    const chosen = [meeting.join("c2"), meeting.join("c3")]
    left.give({ type: "done" })
    await Promise.all(chosen)
    await pass(0)
    const joined = gateway.requests.filter((one) => one["type"] === "join").map((one) => one["conference"])
    expect([joined, meeting.view.conference]).toEqual([["c1", "c3"], "c3"])
    expect(seen).not.toContain(null) // or a page would enter one by itself
  })

  test("does not get the figures of the connection before it", async () => {
    await connected()
    const stats = held<Map<string, unknown>>()
    peer().getStats = () => stats.promise
    await pass(2_000)
    await meeting.leave()
    await joined()
    stats.give(new Map())
    await pass(2_000)
    expect(meeting.view.rates).toBeNull() // a first look has nothing to compare with
    await pass(2_000)
    expect(meeting.view.rates).toEqual({ up: 0, down: 0 })
  })
})
