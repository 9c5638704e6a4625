/** How long pictures stood still, from the counters of the connection they come by. Pure. */

/** Each picture: how long it has stood still since it began, and which track it shows; by media section id. */
export type Freezes = ReadonlyMap<string, { readonly ms: number; readonly track: string }>

/** What stood still for longer was not sent, rather than held up on its way. */
const LONGEST_MS = 10_000

/** `flowing` names the track of each picture that should move. */
export function freezes(report: RTCStatsReport, flowing: ReadonlyMap<string, string>): Freezes {
  const found = new Map<string, { ms: number; track: string }>()
  report.forEach((entry: Record<string, unknown>) => {
    const { type, kind, mid, totalFreezesDuration: seconds } = entry
    if (type !== "inbound-rtp" || kind !== "video" || typeof mid !== "string" || typeof seconds !== "number") return
    const track = flowing.get(mid)
    if (track !== undefined) found.set(mid, { ms: Math.round(1000 * seconds), track })
  })
  return found
}

/** Of the picture that stood still longest between two looks, milliseconds; only of what flowed at both. */
export function frozenMs(before: Freezes, now: Freezes): number {
  const each = [...now].map(([mid, { ms, track }]) => {
    const known = before.get(mid)
    const grown = known?.track === track ? ms - known.ms : 0
    return grown > LONGEST_MS ? 0 : grown
  })
  return Math.max(0, ...each)
}
