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
