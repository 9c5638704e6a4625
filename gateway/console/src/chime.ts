/** One stroke of a bell for a new alarm: short and deep, so that nobody takes it for the ring of a directive. */
import { settled } from "./protocol"
import type { Remembered } from "./remembered"
import type { AlarmView, GatewayMessage, OverdueView, Urgency } from "./wire"

const STROKE_HZ = 523
/** Strength of each partial tone of the bell. */
const PARTIALS = [0.6, 0.25, 0.12] as const
const STROKE_S = 0.9
const REST_MS = 1_500
export const JOIN_MS = 60_000 // lists of one minute are about one thing
const RECENT_MS = 600_000 // clocks of other nodes may be minutes off: rather one stroke too many

/** Says once of each card that it is new, that it became urgent, or that it was opened again. */
export class NewAlarms {
  private opened: number | null = null

  /** `known`: what was heard of in this session, also before a reload of the page. */
  constructor(private readonly known: Remembered) {}

  /** A new session tells past alarms again: those of the last minutes are news to whoever just sat down. */
  heard(message: GatewayMessage): boolean {
    if (message.type === "welcome") this.opened ??= message.now
    if (message.type !== "alarm") return false
    if (message.card !== message.alarm) return false
    const recent = message.newest_at > (this.opened ?? 0) - RECENT_MS
    const waits = message.state === "triggered" || (this.known.has(message.alarm) && !settled(message))
    const news = [message.alarm, ringKey(message)].filter((one) => !this.known.has(one))
    for (const one of news) this.known.add(one)
    return recent && waits && news.length > 0
  }
}

/** Says once of each list of what is overdue that somebody has to look: it is open and nobody has it in hand. */
export class NewOverdue {
  constructor(private readonly known: Remembered) {}

  heard(message: GatewayMessage): boolean {
    if (message.type !== "overdue" || !message.open || message.acknowledged_by !== null || this.known.has(message.overdue)) return false
    this.known.add(message.overdue)
    return true
  }
}

/**
 * Strikes once for what is overdue of one kind: every village sends a list of its own, and nobody acts on 153 strokes.
 *
 * What joins strikes again when it is more urgent, when somebody has taken in hand what was there, or after JOIN_MS.
 */
export class OverdueBell {
  private readonly struck = new Map<string, { readonly at: number; readonly urgency: Urgency }>()
  private readonly taken = new Set<string>()

  /** `now`: milliseconds on a clock that nobody sets. */
  constructor(private readonly news: NewOverdue, private readonly now: () => number = () => performance.now()) {}

  heard(message: GatewayMessage): boolean {
    if (message.type !== "overdue") return false
    this.followTaking(message)
    if (!this.news.heard(message)) return false
    const silent = kindsOf(message).filter((kind) => !this.joins(kind, message.urgency))
    for (const kind of silent) this.struck.set(kind, { at: this.now(), urgency: message.urgency })
    return silent.length > 0
  }

  private joins(kind: string, urgency: Urgency): boolean {
    const last = this.struck.get(kind)
    return last !== undefined && urgency >= last.urgency && this.now() - last.at < JOIN_MS
  }

  private followTaking(view: OverdueView): void {
    if (view.acknowledged_by === null || this.taken.has(view.overdue)) return
    this.taken.add(view.overdue)
    for (const kind of kindsOf(view)) this.struck.delete(kind)
  }
}

function kindsOf(view: OverdueView): string[] {
  const left = view.rows.filter((row) => !row.ended)
  return [...new Set(left.map((row) => `${row.kind} ${view.exercise}`))]
}

/** What a card rings for once: of the urgencies only P0 and P1 are worth a stroke of their own. */
function ringKey(view: AlarmView): string {
  const urgent = view.urgency === "P0" || view.urgency === "P1" ? view.urgency : ""
  return `${view.alarm}/${urgent}/${view.reopened}`
}

export class Chime {
  private context: AudioContext | null = null
  private last = -Infinity

  /** Browsers allow sound only after a click or a key: the first one opens the way. */
  constructor() {
    for (const gesture of ["pointerdown", "keydown"]) document.addEventListener(gesture, () => this.unlock())
  }

  /** Strike once; many alarms at a time are one stroke. */
  strike(): void {
    const { context } = this
    const now = performance.now()
    if (context === null || context.state !== "running" || now - this.last < REST_MS) return
    this.last = now
    const source = context.createBufferSource()
    source.buffer = bell(context)
    source.connect(context.destination)
    source.start()
  }

  private unlock(): void {
    this.context ??= new AudioContext()
    if (this.context.state !== "running") void this.context.resume()
  }
}

function bell(context: AudioContext): AudioBuffer {
  const rate = context.sampleRate
  const buffer = context.createBuffer(1, Math.round(rate * STROKE_S), rate)
  const samples = buffer.getChannelData(0)
  for (let index = 0; index < samples.length; index++) {
    const time = index / rate
    const tone = PARTIALS.reduce((sum, part, n) => sum + part * Math.sin(2 * Math.PI * STROKE_HZ * (n + 1) * time), 0)
    samples[index] = 0.6 * tone * Math.min(1, time / 0.005) * Math.exp(-5 * time)
  }
  return buffer
}
