/**
 * Receipts on their way to the gateway, in its time: it ends a session that says more than 50 things a second.
 *
 * A terminal that returns to hundreds of open directives owes a receipt for each.  They go out at half that pace,
 * which leaves the other half to everything else the page says; what was shown goes first.
 */
import type { Stage } from "../wire"

export const RATE_PER_S = 25
/** A hidden page's timer fires once a second: so many go at once then. */
export const BURST = 25
const TICK_MS = 1_000 / RATE_PER_S

export class Receipts {
  /** Oldest first; one of a directive at a time, the farther stage. */
  private readonly waiting = new Map<string, Stage>()
  private room = BURST
  private filled: number
  private timer: ReturnType<typeof setTimeout> | null = null

  /** `send` says whether the line was up; `now` is in milliseconds of any clock that runs on. */
  constructor(
    private readonly send: (directive: string, stage: Stage) => boolean,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.filled = now()
  }

  /** How many wait. */
  get count(): number {
    return this.waiting.size
  }

  /** Send it now or soon; what was shown was delivered too. */
  add(directive: string, stage: Stage): void {
    if (this.waiting.get(directive) !== "shown") this.waiting.set(directive, stage)
    this.drain()
  }

  /** The session is over: the next one is told everything anew. */
  clear(): void {
    this.waiting.clear()
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }

  private drain(): void {
    this.refill()
    for (const [directive, stage] of this.room < 1 ? [] : this.ordered()) {
      if (this.room < 1) break
      this.waiting.delete(directive)
      this.room -= 1
      if (!this.send(directive, stage)) return this.clear()
    }
    if (this.waiting.size > 0 && this.timer === null) this.timer = setTimeout(() => this.tick(), TICK_MS)
  }

  private tick(): void {
    this.timer = null
    this.drain()
  }

  private ordered(): (readonly [string, Stage])[] {
    const all = [...this.waiting]
    return [...all.filter(([, stage]) => stage === "shown"), ...all.filter(([, stage]) => stage !== "shown")]
  }

  private refill(): void {
    const now = this.now()
    this.room = Math.min(BURST, this.room + ((now - this.filled) / 1_000) * RATE_PER_S)
    this.filled = now
  }
}
