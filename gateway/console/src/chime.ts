/** One stroke of a bell for a new alarm: short and deep, so that nobody takes it for the ring of a directive. */
import { settled } from "./protocol"
import type { Remembered } from "./remembered"
import type { AlarmView, GatewayMessage } from "./wire"

const STROKE_HZ = 523
/** Strength of each partial tone of the bell. */
const PARTIALS = [0.6, 0.25, 0.12] as const
const STROKE_S = 0.9
const REST_MS = 1_500
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
