/** Getting a person's attention: ring, read aloud, ring again, until somebody confirms. */
import { Ring } from "./ring"
import { hush, speak } from "./speech"
import type { Urgency } from "./wire"

const RING_FIRST_MS = 4_000

export class Attention {
  private readonly ring = new Ring()
  private timer = 0
  private turn = 0

  /** Call from a click or a key: browsers allow sound only after one. */
  unlock(): void {
    this.ring.unlock()
  }

  get unlocked(): boolean {
    return this.ring.unlocked
  }

  get ringing(): boolean {
    return this.ring.ringing
  }

  start(urgency: Urgency, text: string): void {
    this.stop()
    this.round(urgency, text, this.turn)
  }

  stop(): void {
    this.turn++
    clearTimeout(this.timer)
    this.ring.stop()
    hush()
  }

  /** Read once, without ringing. */
  read(text: string): boolean {
    this.stop()
    return speak(text, () => {})
  }

  private round(urgency: Urgency, text: string, turn: number): void {
    this.ring.start(urgency)
    this.timer = window.setTimeout(() => {
      const again = (): void => {
        if (turn === this.turn) this.round(urgency, text, turn)
      }
      if (this.ring.unlocked && speak(text, again)) this.ring.stop() // no Chinese voice: it rings on
    }, RING_FIRST_MS)
  }
}
