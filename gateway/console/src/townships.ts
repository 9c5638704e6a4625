/** Numbers fed back, added up for each township. Pure. */
import type { Place } from "./protocol"
import type { DirectiveView } from "./wire"

const TOWNSHIP = 4

export interface TownshipSum {
  readonly code: string
  readonly name: string
  readonly sums: ReadonlyMap<string, number>
}

/** One entry per township that has fed a number back; places above that tier stand for themselves. */
export function townshipSums(view: DirectiveView, places: ReadonlyMap<string, Place>): TownshipSum[] {
  const found = new Map<string, Map<string, number>>()
  for (const row of view.recipients) {
    const code = township(row.node, places)
    for (const [name, value] of Object.entries(row.values)) {
      if (!adds(view, name)) continue
      const sums = found.get(code) ?? new Map<string, number>()
      found.set(code, sums.set(name, (sums.get(name) ?? 0) + value))
    }
  }
  return [...found].map(([code, sums]) => ({ code, name: places.get(code)?.name ?? code, sums }))
}

/** Whether a number is of those that are added up: all of them where the directive has no form. */
export function adds(view: DirectiveView, name: string): boolean {
  return view.fields.length === 0 || view.fields.some((field) => field.name === name && field.sum)
}

/** The township of a place; a place above that tier, or that is not known, stands for itself. */
export function township(code: string, places: ReadonlyMap<string, Place>): string {
  for (let place = places.get(code); place !== undefined; place = places.get(place.parent ?? "")) {
    if (place.tier === TOWNSHIP) return place.code
  }
  return code
}
