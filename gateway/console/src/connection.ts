/**
 * The one door to the gateway: the only file that opens a WebSocket or an RTCPeerConnection.
 *
 * Dials, says hello, and dials again for ever when the line drops (1 to 15 s, jittered).  A line that
 * is dead without saying so is noticed by asking `/healthz` every 15 s.
 */
import { retryMs } from "./backoff"
import type { ClientMessage, Done, Failure, GatewayMessage, Joined, Restarted, Welcome } from "./wire"
import { VERSION } from "./wire"

const ANSWER_DEADLINE_MS = 15_000
const WELCOME_DEADLINE_MS = 10_000
const PROBE_EVERY_MS = 15_000
const PROBE_DEADLINE_MS = 5_000
const PROBES_MISSED = 2
/** Closed so, a session's seat is given up at once; without a code it is kept for a while (RFC 6455 section 7.4.1). */
const LEAVING = 1000

export type Status =
  | { readonly kind: "connecting" }
  | { readonly kind: "online" }
  /** `retryAt` on the `performance.now()` scale. */
  | { readonly kind: "waiting"; readonly retryAt: number }
  | { readonly kind: "signed-out"; readonly code: string }

/** A request the gateway refused, or that had no answer (`timeout`, `offline`). */
export class RequestFailed extends Error {
  constructor(
    readonly code: string,
    text: string,
  ) {
    super(text)
  }
}

type Answer = Joined | Restarted | Done

interface Pending {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: RequestFailed) => void
  readonly timer: number
}

type Requested = Extract<ClientMessage, { request: number }>
type WithoutNumber<T> = T extends Requested ? Omit<T, "request"> : never

export class Connection {
  onMessage: (message: GatewayMessage) => void = () => {}
  /** The gateway does not understand a page of this version. */
  onOutdated: (() => void) = () => {}
  onStatus: (status: Status) => void = () => {}
  status: Status = { kind: "connecting" }
  private socket: WebSocket | null = null
  private attempt = 0
  private lastRequest = 0
  private timer = 0
  private probe = 0
  private missed = 0
  private resume = "" // names the session before this one, whose seat goes on
  private readonly pending = new Map<number, Pending>()

  constructor(private readonly token: string) {}

  start(): void {
    addEventListener("online", this.hurry)
    this.probe = window.setInterval(() => void this.ask(), PROBE_EVERY_MS)
    this.dial()
  }

  stop(): void {
    removeEventListener("online", this.hurry)
    clearInterval(this.probe)
    clearTimeout(this.timer)
    this.drop(LEAVING)
  }

  /** Send if the line is up; false means it was not sent. */
  send(message: ClientMessage): boolean {
    if (this.status.kind !== "online" || this.socket?.readyState !== WebSocket.OPEN) return false
    this.socket.send(JSON.stringify(message))
    return true
  }

  /** Send a request and wait for its answer, at most 15 s. */
  request(message: WithoutNumber<Requested>): Promise<Answer> {
    const request = ++this.lastRequest
    return new Promise((resolve, reject) => {
      if (!this.send({ ...message, request } as Requested)) {
        reject(new RequestFailed("offline", ""))
        return
      }
      const timer = window.setTimeout(() => this.fail(request, "timeout", ""), ANSWER_DEADLINE_MS)
      this.pending.set(request, { resolve, reject, timer })
    })
  }

  private readonly hurry = (): void => {
    if (this.status.kind === "waiting") this.dial()
  }

  private dial(): void {
    clearTimeout(this.timer)
    this.become({ kind: "connecting" })
    const scheme = location.protocol === "https:" ? "wss" : "ws"
    const socket = new WebSocket(`${scheme}://${location.host}/ws`)
    this.socket = socket
    this.timer = window.setTimeout(() => this.lost(), WELCOME_DEADLINE_MS)
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: "hello", version: VERSION, token: this.token, client: "web", resume: this.resume }))
    socket.onmessage = (event: MessageEvent) => this.receive(String(event.data))
    socket.onclose = () => this.lost()
  }

  private receive(text: string): void {
    let message: GatewayMessage
    try {
      message = JSON.parse(text) as GatewayMessage
    } catch {
      return // not ours to repair; the gateway's own tests keep it from happening
    }
    if (message.type === "welcome") this.welcomed(message)
    if (message.type === "failure") this.failed(message)
    else if (message.type === "joined" || message.type === "restarted" || message.type === "done") this.settle(message.request)?.resolve(message)
    this.onMessage(message)
  }

  private welcomed(welcome: Welcome): void {
    this.resume = welcome.resume
    clearTimeout(this.timer)
    this.attempt = 0
    this.missed = 0
    this.become({ kind: "online" })
  }

  private failed(failure: Failure): void {
    if (failure.request !== null) this.fail(failure.request, failure.code, failure.text)
    else if (failure.code.startsWith("token-")) this.signOut(failure.code)
    else if (failure.code === "version-mismatch" || (this.status.kind !== "online" && failure.code === "malformed-message"))
      this.onOutdated() // a hello of another version
  }

  private signOut(code: string): void {
    this.stop()
    this.become({ kind: "signed-out", code })
  }

  private lost(): void {
    this.drop()
    const wait = retryMs(this.attempt++, Math.random())
    this.become({ kind: "waiting", retryAt: performance.now() + wait })
    this.timer = window.setTimeout(() => this.dial(), wait)
  }

  /** Let go of the socket at once: a dead one may take a minute to finish its closing handshake. */
  private drop(code?: number): void {
    clearTimeout(this.timer)
    if (this.socket !== null) {
      this.socket.onopen = this.socket.onmessage = this.socket.onclose = null
      this.socket.close(code)
      this.socket = null
    }
    for (const request of [...this.pending.keys()]) this.fail(request, "offline", "")
  }

  private fail(request: number, code: string, text: string): void {
    this.settle(request)?.reject(new RequestFailed(code, text))
  }

  private settle(request: number): Pending | undefined {
    const pending = this.pending.get(request)
    if (pending !== undefined) clearTimeout(pending.timer)
    this.pending.delete(request)
    return pending
  }

  private async ask(): Promise<void> {
    if (this.status.kind !== "online") return
    const abort = new AbortController()
    const timer = setTimeout(() => abort.abort(), PROBE_DEADLINE_MS)
    try {
      await fetch("/healthz", { cache: "no-store", signal: abort.signal })
      this.missed = 0
    } catch {
      if (++this.missed >= PROBES_MISSED && this.status.kind === "online") this.lost()
    } finally {
      clearTimeout(timer)
    }
  }

  private become(status: Status): void {
    this.status = status
    this.onStatus(status)
  }
}

/** A connection to the gateway's one media port: it is ICE-lite, so no server is needed to find the way. */
export function openPeer(): RTCPeerConnection {
  return new RTCPeerConnection({ bundlePolicy: "max-bundle", rtcpMuxPolicy: "require", iceServers: [] })
}
