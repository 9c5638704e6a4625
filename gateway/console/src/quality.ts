/** How well a picture arrives, in four steps a person understands. Pure: counters in, grades out. */

export type Grade = "good" | "fair" | "poor" | "none"

export interface Quality {
  readonly grade: Grade
  /** Packets lost on the way here in the last two seconds, whole percent. */
  readonly loss: number
}

/** Counters of one received picture since it began. */
export interface Counters {
  readonly received: number
  readonly lost: number
  readonly frames: number
  readonly freezes: number
}

const FAIR_LOSS = 2
const POOR_LOSS = 8

/** Icons that differ in shape, so that colour is not the only sign. */
export const BARS: Readonly<Record<Grade, string>> = { good: "▮▮▮", fair: "▮▮▯", poor: "▮▯▯", none: "▯▯▯" }

/** Grade what happened between two looks; a counter that went back means a new stream, graded from zero. */
export function grade(before: Counters | undefined, now: Counters): Quality {
  const since = (name: keyof Counters): number => Math.max(0, now[name] - (before?.[name] ?? 0))
  const received = since("received")
  const lost = since("lost")
  const loss = received + lost === 0 ? 0 : Math.round((100 * lost) / (received + lost))
  if (since("frames") === 0) return { grade: "none", loss }
  if (loss >= POOR_LOSS || since("freezes") > 1) return { grade: "poor", loss }
  return { grade: loss >= FAIR_LOSS || since("freezes") > 0 ? "fair" : "good", loss }
}

/** The counters of every received picture, by media section id. */
export function counters(report: RTCStatsReport): Map<string, Counters> {
  const found = new Map<string, Counters>()
  report.forEach((entry: Record<string, unknown>) => {
    if (entry["type"] !== "inbound-rtp" || entry["kind"] !== "video") return
    const number = (name: string): number => (typeof entry[name] === "number" ? entry[name] : 0)
    found.set(String(entry["mid"]), {
      received: number("packetsReceived"),
      lost: number("packetsLost"),
      frames: number("framesDecoded"),
      freezes: number("freezeCount"),
    })
  })
  return found
}

/** Loss of what we send, as the gateway reports it, whole percent; null when it has not. */
export function uplinkLoss(report: RTCStatsReport): number | null {
  let worst: number | null = null
  report.forEach((entry: Record<string, unknown>) => {
    const lost = entry["fractionLost"]
    if (entry["type"] === "remote-inbound-rtp" && typeof lost === "number") worst = Math.max(worst ?? 0, Math.round(lost * 100))
  })
  return worst
}
