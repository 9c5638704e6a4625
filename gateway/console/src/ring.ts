/** The two-tone ring of a directive: made here, so that no sound file has to be fetched on a bad line. */
import type { Urgency } from "./wire"

const PERIOD_S: Readonly<Record<Urgency, number>> = { P0: 0.5, P1: 0.8, P2: 1.4, P3: 2.4 }
const HIGH_HZ = 988
const LOW_HZ = 740
const TONE_S = 0.24

export class Ring {
  private context: AudioContext | null = null
  private source: AudioBufferSourceNode | null = null
  private wanted: Urgency | null = null

  /** Call from a click or a key: browsers allow sound only after one. */
  unlock(): void {
    this.context ??= new AudioContext()
    void this.context.resume().then(() => this.play())
  }

  get unlocked(): boolean {
    return this.context?.state === "running"
  }

  get ringing(): boolean {
    return this.source !== null
  }

  /** Ring until `stop`; before the first click it waits for `unlock`. */
  start(urgency: Urgency): void {
    this.stop()
    this.wanted = urgency
    this.play()
  }

  stop(): void {
    this.wanted = null
    this.source?.stop()
    this.source = null
  }

  private play(): void {
    const context = this.context
    if (context === null || context.state !== "running" || this.wanted === null || this.source !== null) return
    this.source = context.createBufferSource()
    this.source.buffer = twoTone(context, PERIOD_S[this.wanted])
    this.source.loop = true
    this.source.connect(context.destination)
    this.source.start()
  }
}

/** High, low, then silence up to the end of the period; edges of 10 ms so that a loudspeaker does not crack. */
function twoTone(context: AudioContext, periodS: number): AudioBuffer {
  const rate = context.sampleRate
  const buffer = context.createBuffer(1, Math.round(rate * Math.max(periodS, 2 * TONE_S)), rate)
  const samples = buffer.getChannelData(0)
  const edge = 0.01
  for (let index = 0; index < 2 * TONE_S * rate && index < samples.length; index++) {
    const time = index / rate
    const inTone = time % TONE_S
    const fade = Math.min(1, inTone / edge, (TONE_S - inTone) / edge)
    samples[index] = 0.6 * fade * Math.sin(2 * Math.PI * (time < TONE_S ? HIGH_HZ : LOW_HZ) * time)
  }
  return buffer
}
