/**
 * Being in a meeting: joins, keeps the seat over a dropped line, switches camera, microphone and screen.
 *
 * Joins to watch and listen; camera and microphone are put into the same connection when somebody switches
 * them on, without renegotiating.
 * Owns the local tracks and the one peer connection.  Draws nothing; tells `onChange` when its view changes.
 */
import { retryMs } from "./backoff"
import { camera, canCapture, CaptureFailed, microphone, screen, type CaptureProblem } from "./capture"
import { RequestFailed, type Connection } from "./connection"
import { freezes, frozenMs, type Freezes } from "./freezes"
import { byStream, makePeer, narrow, offerAgain, type Peer } from "./peer"
import { bytes, rates, type Bytes, type Rates } from "./rates"
import { listenOnly, onlyListens } from "./viewing"

const SILENT_MS = 5_000
/** For the handshake over a way whose checks pass: some round trips by satellite, and what is repeated. */
const HANDSHAKE_MS = 4_000
const LOOK_EVERY_MS = 2_000
const PIN_EVERY_MS = 1_000
const PIN_TRIES = 20

export interface MeetingView {
  /** The conference we are in or want to be in, or null. */
  readonly conference: string | null
  readonly phase: "idle" | "joining" | "live" | "recovering"
  readonly streams: ReadonlyMap<string, MediaStream>
  readonly preview: MediaStream | null
  readonly microphone: boolean
  readonly camera: boolean
  readonly content: boolean
  /** Who is shown in the first picture because somebody wants it so, or null: the gateway chooses. */
  readonly pinned: string | null
  /** No pictures are wanted, because this line or this person has enough with the sound. */
  readonly audioOnly: boolean
  /** What the meeting takes of the line; null until it has been looked at twice. */
  readonly rates: Rates | null
  readonly problem: CaptureProblem | null
  /** Stable code of why the last attempt to join failed. */
  readonly failure: string | null
}

export const IDLE: MeetingView = {
  conference: null,
  phase: "idle",
  streams: new Map(),
  preview: null,
  microphone: false,
  camera: false,
  content: false,
  pinned: null,
  audioOnly: false,
  rates: null,
  problem: null,
  failure: null,
}

export class Meeting {
  view: MeetingView = { ...IDLE, audioOnly: onlyListens() }
  onChange: (view: MeetingView) => void = () => {}
  private peer: Peer | null = null
  private audio: MediaStreamTrack | null = null
  private video: MediaStreamTrack | null = null
  private shared: MediaStreamTrack | null = null
  private switching: Promise<void> = Promise.resolve()
  private attempt = 0
  private timer = 0
  private doubts = 0
  private bytes: Bytes | null = null
  private still: Freezes = new Map()
  private restarting = false
  private streams = false // this network carries no large datagrams: by TCP
  private sitting = 0 // camera and microphone belong to the meeting they were switched on in
  private turn = 0 // a later join or leave makes an earlier one that is still waiting void

  constructor(
    private readonly connection: Connection,
    private readonly videoSlots: () => number,
    /** The track in each picture that should move, by media section id. */
    private readonly flowing: () => ReadonlyMap<string, string>,
  ) {
    setInterval(() => void this.look(), LOOK_EVERY_MS)
    addEventListener("online", this.moved)
    networkOf(navigator)?.addEventListener("change", this.moved)
  }

  /** Enter `conference`, out of another if need be.  It is the one that is shown from this moment on: none is entered by itself. */
  async join(conference: string): Promise<void> {
    const left = this.view.conference === null ? null : this.depart()
    const turn = ++this.turn
    this.change({ conference, phase: "joining", failure: null, problem: canCapture() ? null : "insecure" })
    await left
    if (turn === this.turn) await this.enter(conference, turn) // else another one was chosen meanwhile
  }

  /** Give up the seat; `failure` is the code of why, or null when a person wanted it. */
  async leave(failure: string | null = null): Promise<void> {
    const left = this.depart()
    this.change({ failure })
    await left
  }

  /** Let go of everything at once; the promise ends when the gateway knows. */
  private depart(): Promise<unknown> | null {
    this.turn++
    this.sitting++
    clearTimeout(this.timer)
    const wasIn = this.view.conference !== null
    this.hangUp()
    this.release()
    this.view = { ...IDLE, audioOnly: this.view.audioOnly }
    return wasIn ? this.connection.request({ type: "leave" }).catch(() => undefined) : null // a closed line has left already
  }

  /** The gateway dropped the conference: nothing to tell it. */
  ended(): void {
    if (this.view.conference !== null) void this.leave()
  }

  /** The line came back.  `seat` is what the gateway kept of us, or null: then it has to be taken anew. */
  resume(seat: string | null): void {
    if (this.view.conference === null || this.view.phase === "joining") return
    if (seat === null || this.peer === null) return this.recover(0)
    const state = this.peer.connection.connectionState
    if (state !== "connected" && state !== "connecting") void this.restart(this.peer)
    this.announce()
  }

  /** The device moved to another network: the old way may never say that it is dead. */
  private readonly moved = (): void => {
    this.streams = false
    if (this.peer !== null && this.view.phase === "live") void this.restart(this.peer)
  }

  /** Ask for a new way to the same seat; when that fails, take a new seat. */
  private async restart(peer: Peer): Promise<void> {
    if (this.restarting || this.connection.status.kind !== "online") return // `resume` comes with the line
    this.restarting = true
    try {
      const answer = await this.connection.request({ type: "restart", sdp: await offerAgain(peer.connection) })
      if (peer === this.peer && answer.type === "restarted") await this.answered(peer, answer.sdp)
    } catch (error) {
      const offline = error instanceof RequestFailed && ["offline", "timeout"].includes(error.code)
      if (peer === this.peer && !offline) this.recover(0)
    } finally {
      this.restarting = false
    }
  }

  setMicrophone(on: boolean): Promise<void> {
    if (!on && this.audio !== null) this.audio.enabled = false // at once, whatever else is being switched
    return this.switch(async () => {
      if (on) this.audio ??= await microphone()
      if (this.audio !== null) this.audio.enabled = on
      this.change({ microphone: on, problem: null })
      await this.peer?.audio.replaceTrack(this.audio)
    })
  }

  /** Off means off: the track ends, and the light of the camera goes out. */
  setCamera(on: boolean): Promise<void> {
    return this.switch(async () => {
      this.video?.stop()
      this.video = null
      this.change({ camera: false, preview: null })
      if (on) this.video = await camera()
      this.change({ camera: on, preview: this.previewOf(), problem: null })
      await this.peer?.video.replaceTrack(this.video)
    })
  }

  setContent(on: boolean): Promise<void> {
    return this.switch(async () => {
      this.shared?.stop()
      this.shared = on ? await screen() : null
      if (this.shared !== null) this.shared.onended = () => void this.setContent(false)
      this.change({ content: this.shared !== null })
      await this.peer?.content.replaceTrack(this.shared)
    })
  }

  /** Only sound from now on, or pictures again; remembered on this machine. */
  setAudioOnly(on: boolean): void {
    listenOnly(on)
    this.change({ audioOnly: on })
  }

  /** Show `participant` in the first picture, also after the line was down, or let the gateway choose. */
  async pin(participant: string | null): Promise<void> {
    this.change({ pinned: participant })
    try {
      await this.connection.request({ type: "watch", slot: 0, participant })
    } catch (error) {
      if (this.view.pinned === participant) this.change({ pinned: null })
      throw error
    }
  }

  private async enter(conference: string, turn: number): Promise<void> {
    try {
      const peer = await makePeer(this.audio, this.video, this.videoSlots())
      if (turn !== this.turn) return peer.connection.close()
      this.peer = peer
      if (this.shared !== null) await peer.content.replaceTrack(this.shared)
      if (turn !== this.turn) return
      const answer = await this.connection.request({ type: "join", conference, sdp: peer.offer })
      if (turn !== this.turn || answer.type !== "joined") return
      peer.connection.onconnectionstatechange = () => this.follow(peer)
      peer.connection.oniceconnectionstatechange = () => this.handshake(peer)
      await this.answered(peer, answer.sdp)
      this.attempt = 0
      this.change({ phase: "live", streams: peer.streams, failure: null })
      this.announce()
      void this.pinAgain(turn)
    } catch (error) {
      if (turn === this.turn) this.refused(error instanceof RequestFailed ? error.code : "media-failed")
    }
  }

  private answered(peer: Peer, sdp: string): Promise<void> {
    return peer.connection.setRemoteDescription({ type: "answer", sdp: this.streams ? byStream(sdp) : sdp })
  }

  /**
   * Once there is a way, keys are agreed on soon; else take the seat by TCP.
   *
   * Not by another offer on the same connection: a browser goes on using the datagram way it knows.
   */
  private handshake(peer: Peer): void {
    clearTimeout(this.doubts)
    if (peer !== this.peer || !narrow(peer.connection)) return
    this.doubts = window.setTimeout(() => {
      const answer = peer.connection.remoteDescription?.sdp ?? ""
      if (peer !== this.peer || !narrow(peer.connection) || byStream(answer) === answer) return
      this.streams = true
      this.recover(0)
    }, HANDSHAKE_MS)
  }

  /** A gateway that was started again hears of the other sites a moment later than of us. */
  private async pinAgain(turn: number): Promise<void> {
    for (let tries = 0; tries < PIN_TRIES; tries++) {
      const participant = this.view.pinned
      if (participant === null || turn !== this.turn) return
      try {
        await this.connection.request({ type: "watch", slot: 0, participant })
        return
      } catch {
        await new Promise((resolve) => setTimeout(resolve, PIN_EVERY_MS))
      }
    }
    if (turn === this.turn) this.change({ pinned: null }) // that site has left
  }

  /** Lawful refusals end the attempt; a dropped line or a slow gateway is tried again. */
  private refused(code: string): void {
    if (!["offline", "timeout", "media-failed"].includes(code)) return void this.leave(code)
    this.change({ failure: code })
    this.recover(retryMs(this.attempt++, Math.random()))
  }

  private follow(peer: Peer): void {
    if (peer !== this.peer) return
    this.handshake(peer)
    clearTimeout(this.timer)
    const state = peer.connection.connectionState
    if (state === "connected" && this.view.phase === "recovering") this.change({ phase: "live" })
    if (state === "failed" || state === "closed") this.recover(retryMs(this.attempt++, Math.random()))
    if (state === "disconnected") {
      void this.restart(peer)
      this.timer = window.setTimeout(() => this.recover(0), SILENT_MS)
    }
  }

  private recover(afterMs: number): void {
    const conference = this.view.conference
    if (conference === null) return
    const turn = ++this.turn
    clearTimeout(this.timer)
    this.hangUp()
    this.change({ phase: "recovering" })
    this.timer = window.setTimeout(() => {
      if (this.connection.status.kind !== "online") return // `resume` comes with the line
      void this.connection
        .request({ type: "leave" })
        .catch(() => undefined) // the old seat may be gone already
        .then(() => (turn === this.turn ? this.enter(conference, turn) : undefined))
    }, afterMs)
  }

  /** One after the other: two at once, while the browser still asks, would leave a camera running unseen. */
  private switch(act: () => Promise<void>): Promise<void> {
    this.switching = this.switching.then(() => this.switchNow(act))
    return this.switching
  }

  private async switchNow(act: () => Promise<void>): Promise<void> {
    if (this.view.conference === null) return
    const { sitting } = this
    try {
      await act()
    } catch (error) {
      // anything else comes from a connection that was closed meanwhile; the next one takes the tracks as they are
      if (error instanceof CaptureFailed) this.change({ problem: error.problem })
    }
    if (sitting !== this.sitting) {
      this.release() // left while the browser asked, to another meeting perhaps
      this.change({ microphone: false, camera: false, content: false, preview: null })
    }
    this.announce()
  }

  private release(): void {
    for (const track of [this.audio, this.video, this.shared]) track?.stop()
    this.audio = this.video = this.shared = null
  }

  private hangUp(): void {
    this.peer?.connection.close()
    this.peer = null
    this.bytes = null
    this.still = new Map()
    this.change({ streams: new Map(), rates: null })
  }

  private async look(): Promise<void> {
    const { peer } = this
    if (peer === null || this.view.phase !== "live") return
    const report = await peer.connection.getStats()
    if (peer !== this.peer) return // of a connection that is over
    const total = bytes(report, performance.now())
    this.change({ rates: rates(this.bytes, total) })
    this.bytes = total
    const still = freezes(report, this.flowing())
    const ms = frozenMs(this.still, still)
    this.still = still
    if (ms > 0) this.connection.send({ type: "frozen", ms })
  }

  private announce(): void {
    const { microphone, camera: video, content } = this.view
    if (this.peer !== null) this.connection.send({ type: "publishing", audio: microphone, video, content })
  }

  private previewOf(): MediaStream | null {
    return this.video === null ? null : new MediaStream([this.video])
  }

  private change(part: Partial<MeetingView>): void {
    this.view = { ...this.view, ...part }
    this.onChange(this.view)
  }
}

/** What tells of a change of network, where the browser does (Network Information API). */
function networkOf(browser: Navigator): EventTarget | undefined {
  return (browser as Navigator & { readonly connection?: EventTarget }).connection
}
