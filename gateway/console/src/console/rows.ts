/** Which rows of a long list are on the screen, and how long ago a thing was. Pure. */
import type { TextKey } from "../zh"

/** `from` and `to` count from 1, 0 when there is none; `back` and `on`: how many to pass over there, null at an end. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly back: number | null
  readonly on: number | null
}

/** What `shown` rows after `after` are among `count`, in pages of `size`. */
export function span(after: number, shown: number, count: number, size: number): Span {
  const to = after + shown
  return {
    from: shown === 0 ? 0 : after + 1,
    to: shown === 0 ? 0 : to,
    back: after > 0 ? Math.max(0, Math.min(after, count) - size) : null,
    on: to < count && shown > 0 ? to : null,
  }
}

const MINUTE_MS = 60_000

/** The words for how long ago `at` was; clocks that differ a little make no time to come. */
export function ago(at: number | null, now: number): { readonly key: TextKey; readonly count: number } {
  if (at === null) return { key: "sources.never", count: 0 }
  const minutes = Math.max(0, Math.floor((now - at) / MINUTE_MS))
  if (minutes < 60) return { key: "sources.minutes", count: minutes }
  if (minutes < 48 * 60) return { key: "sources.hours", count: Math.floor(minutes / 60) }
  return { key: "sources.days", count: Math.floor(minutes / (24 * 60)) }
}
