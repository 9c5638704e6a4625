/** Times as people on duty read them: always Beijing time, always with the date. */
const FULL = new Intl.DateTimeFormat("zh-CN", {
  timeZone: "Asia/Shanghai",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
})

/** `11-21 20:45:07`, or an empty string when the time has not come. */
export function beijing(atMs: number | null): string {
  if (atMs === null) return ""
  const part = Object.fromEntries(FULL.formatToParts(atMs).map(({ type, value }) => [type, value]))
  return `${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}`
}

export const HOUR_MS = 3_600_000
const BEIJING_MS = 8 * HOUR_MS

/** For a field of kind datetime-local: `2026-11-21T20:45`, in Beijing time whatever the computer is set to. */
export function toBeijing(atMs: number): string {
  return new Date(atMs + BEIJING_MS).toISOString().slice(0, 16)
}

/** UTC milliseconds of what such a field holds; null while it is not filled in. */
export function fromBeijing(text: string): number | null {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(text) ? Date.parse(`${text}:00Z`) : NaN
  return Number.isNaN(at) ? null : at - BEIJING_MS
}
