/** How well a connection works, as the gateway judges it, in bars and words. Pure. */
import type { TextKey } from "./zh"
import type { Condition, Quality } from "./wire"

/** Whose way: ours out, ours in, or another site's out. */
export type Way = "up" | "down" | "their"
type Say = (key: TextKey, values?: Readonly<Record<string, string | number>>) => string

export const WELL: Condition = { level: 4, reason: "", value: 0 }

const REASONS = ["loss", "far", "jitter", "slow", "paused", "thumbnails", "frozen", "busy", "silent", "link"] as const
const LEVELS = ["quality.0", "quality.1", "quality.2", "quality.3", "quality.4"] as const

/** Icons that differ in shape, so that colour is not the only sign: 4 full bars to none. */
export function bars(condition: Condition): string {
  const full = Math.max(0, Math.min(4, Math.floor(condition.level)))
  return "▮".repeat(full) + "▯".repeat(4 - full)
}

/** The colour's name. */
export function tone(condition: Condition): "good" | "fair" | "poor" {
  return condition.level >= 3 ? "good" : condition.level === 2 ? "fair" : "poor"
}

/** The level's word, and why it is not better. */
export function words(condition: Condition, way: Way, say: Say): string {
  const word = say(LEVELS[Math.max(0, Math.min(4, Math.floor(condition.level)))] ?? "quality.0")
  const reason = REASONS.find((one) => one === condition.reason)
  if (reason === undefined) return word
  const { value } = condition
  return `${word} ${say(reason === "loss" ? `quality.${way}.loss` : `quality.${reason}`, { value })}`
}

/** Of somebody in a picture: well unless the gateway says otherwise; null before it has said anything. */
export function theirs(told: Quality | null, participant: string | null): Condition | null {
  if (told === null || participant === null) return null
  return told.others.find((one) => one.participant === participant)?.condition ?? WELL
}

/** Our own two ways, as far as something goes that way. */
export function ours(told: Quality | null): { readonly name: "up" | "down"; readonly condition: Condition }[] {
  const ways = [
    { name: "up" as const, condition: told?.uplink ?? null },
    { name: "down" as const, condition: told?.downlink ?? null },
  ]
  return ways.flatMap(({ name, condition }) => (condition === null ? [] : [{ name, condition }]))
}
