/** How much of the line a meeting takes, from the counters of its connection. Pure. */

/** Kilobits per second since the last look, sound and pictures together. */
export interface Rates {
  readonly down: number
  readonly up: number
}

/** Bytes since the connection began, at `at` milliseconds of any clock that runs on. */
export interface Bytes {
  readonly at: number
  readonly received: number
  readonly sent: number
}

export function bytes(report: RTCStatsReport, at: number): Bytes {
  let received = 0
  let sent = 0
  report.forEach((entry: Record<string, unknown>) => {
    if (entry["type"] !== "transport") return
    if (typeof entry["bytesReceived"] === "number") received += entry["bytesReceived"]
    if (typeof entry["bytesSent"] === "number") sent += entry["bytesSent"]
  })
  return { at, received, sent }
}

/** Null at the first look, and when the counters went back: it is another connection. */
export function rates(before: Bytes | null, now: Bytes): Rates | null {
  if (before === null || now.at <= before.at || now.received < before.received || now.sent < before.sent) return null
  const kbits = (count: number): number => Math.round((count * 8) / (now.at - before.at)) // bits per ms are kbit/s
  return { down: kbits(now.received - before.received), up: kbits(now.sent - before.sent) }
}
