/**
 * What a terminal does about a directive: report it, ring once, keep it in front until it is confirmed.
 *
 * No DOM and no socket of its own; they come in as ports.  The gateway takes every receipt as often as it
 * comes, so a receipt is sent again after each new welcome; a ring never sounds twice in one session,
 * unless the gateway's clock says that nobody has signed.
 */
import type { Remembered } from "../remembered"
import { reached, unsigned, type State } from "../protocol"
import type { DirectiveView, Stage } from "../wire"

export interface Ports {
  /** Soon, while the session lasts; a new one brings the directive again. */
  report(directive: string, stage: Stage): void
  /** What was reported and has not gone out yet is forgotten. */
  forget(): void
  /** `again`: because nobody has signed, whatever rang before. */
  ring(directive: DirectiveView, again: boolean): void
  silence(): void
  /** Ids that rang or were set aside in this session, also before a reload of the page. */
  readonly rung: Remembered
  readonly aside: Remembered
}

export class Duty {
  private ringing: string | null = null
  private reported = new Set<string>()
  /** The gateway's clock asked to ring for these again. */
  private readonly due = new Set<string>()

  constructor(private readonly ports: Ports) {}

  /** A new session: what was reported to the last one may have been lost with it. */
  welcomed(): void {
    this.ports.forget()
    this.reported.clear()
  }

  /** After every message: report arrivals, ring for what is new, stop for what is settled. */
  follow(state: State): void {
    const waiting = unsigned(state)
    for (const view of waiting) this.arrived(view)
    if (this.ringing !== null && !waiting.some((view) => view.directive === this.ringing)) this.quiet()
    const next = waiting.find((view) => this.mustRing(view))
    if (this.ringing === null && next !== undefined) this.startRinging(next)
  }

  /** The directive that covers the screen now, or null. */
  front(state: State): DirectiveView | null {
    return unsigned(state).find((view) => view.directive === this.ringing || !this.ports.aside.has(view.directive)) ?? null
  }

  /** Nobody has signed though it was shown: ring again, and put it in front while it rings. */
  again(directive: string): void {
    if (this.ringing !== directive) this.due.add(directive)
  }

  /** It has been painted on a visible page. */
  painted(view: DirectiveView): void {
    if (view.mine !== null && !reached(view.mine.stage, "shown")) this.report(view.directive, "shown")
  }

  /** A person has seen it: no more noise. */
  confirmed(directive: string): void {
    if (this.ringing === directive) this.quiet()
  }

  setAside(directive: string): void {
    this.ports.aside.add(directive)
    this.confirmed(directive)
  }

  /** Whether this is what rings now: asked when a claim comes back. */
  rings(directive: string): boolean {
    return this.ringing === directive
  }

  private arrived(view: DirectiveView): void {
    if (view.mine !== null && !reached(view.mine.stage, "delivered")) this.report(view.directive, "delivered")
  }

  private report(directive: string, stage: Stage): void {
    const key = `${directive} ${stage}`
    if (this.reported.has(key)) return
    this.reported.add(key)
    this.ports.report(directive, stage)
  }

  private mustRing(view: DirectiveView): boolean {
    const fresh = view.mine !== null && !reached(view.mine.stage, "shown")
    return this.due.has(view.directive) || (fresh && !this.ports.rung.has(view.directive))
  }

  private startRinging(view: DirectiveView): void {
    this.ports.rung.add(view.directive)
    const again = this.due.delete(view.directive)
    this.ringing = view.directive
    this.ports.ring(view, again)
  }

  private quiet(): void {
    this.ringing = null
    this.ports.silence()
  }
}
