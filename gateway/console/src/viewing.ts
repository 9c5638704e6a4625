/**
 * Tells the gateway how large each picture of the meeting is on this page, so that it sends no more than is seen.
 *
 * Looks a moment after something moved, a few times a second at most.  A page that nobody has in front for a
 * while, or that only listens, wants no pictures at all.
 */
import type { Connection } from "./connection"
import type { MeetingView } from "./meeting"
import { sameSizes, sizesOf, type Seen } from "./sizes"
import type { SlotSize } from "./wire"

const SETTLED_MS = 300
const AWAY_MS = 5_000 // somebody who only looks into another tab comes back to a picture
const KEY = "wuji.audio_only"

/** Whether this machine only listens; survives reloads, for the line it is on will not be better then. */
export function onlyListens(): boolean {
  try {
    return localStorage.getItem(KEY) !== null
  } catch {
    return false // storage switched off: the page still works
  }
}

export function listenOnly(on: boolean): void {
  try {
    if (on) localStorage.setItem(KEY, "yes")
    else localStorage.removeItem(KEY)
  } catch {
    return // it holds until the page is closed
  }
}

export class Viewing {
  private readonly observer = new ResizeObserver(() => this.moved())
  private readonly observed = new Set<Element>()
  private said: readonly SlotSize[] | null = null
  private seat: string | null = null
  private timer = 0
  private turning = 0
  private away = document.visibilityState !== "visible"

  constructor(
    private readonly connection: Connection,
    private readonly view: () => MeetingView,
    private readonly self: () => string | null,
  ) {
    document.addEventListener("visibilitychange", () => this.turned())
  }

  /** Something on the page may have another size. */
  moved(): void {
    if (this.self() !== this.seat) return this.look() // a new seat: it gets everything until it is told
    if (this.timer === 0) this.timer = window.setTimeout(() => this.look(), SETTLED_MS)
  }

  private turned(): void {
    clearTimeout(this.turning)
    const visible = document.visibilityState === "visible"
    const turn = (): void => {
      this.away = !visible
      this.look()
    }
    if (visible) turn()
    else this.turning = window.setTimeout(turn, AWAY_MS)
  }

  private look(): void {
    clearTimeout(this.timer)
    this.timer = 0
    const self = this.self()
    if (self !== this.seat) {
      this.seat = self
      this.said = null
    }
    if (self === null) return
    const sizes = sizesOf(this.seen(), !this.away && !this.view().audioOnly, window.devicePixelRatio)
    if (sameSizes(this.said, sizes)) return
    if (this.connection.send({ type: "sizes", slots: sizes })) this.said = sizes
  }

  /** Every video slot of the connection, drawn or not. */
  private seen(): Seen[] {
    const figures = new Map([...document.querySelectorAll<HTMLElement>("[data-mid]")].map((one) => [one.dataset["mid"], one]))
    this.observe([...figures.values()])
    const slots = [...this.view().streams].filter(([, stream]) => stream.getVideoTracks().length > 0)
    return slots.map(([mid], slot) => {
      const video = figures.get(mid)?.querySelector("video")
      const { clientWidth: width = 0, clientHeight: height = 0, videoWidth = 0, videoHeight = 0 } = video ?? {}
      const taken = (figures.get(mid)?.dataset["participant"] ?? "") !== ""
      return { slot, width, height, aspect: videoHeight === 0 ? 0 : videoWidth / videoHeight, taken }
    })
  }

  private observe(figures: readonly Element[]): void {
    for (const gone of [...this.observed].filter((one) => !figures.includes(one))) {
      this.observer.unobserve(gone)
      this.observed.delete(gone)
    }
    for (const one of figures) {
      if (this.observed.has(one)) continue
      this.observed.add(one)
      this.observer.observe(one)
    }
  }
}
