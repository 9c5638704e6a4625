/** How large each picture is wanted: what is seen on the screen, turned into what the gateway is told. Pure. */
import type { SlotSize } from "./wire"

/** One picture as it stands on the page, CSS pixels; 0 by 0 when it is not drawn. */
export interface Seen {
  /** Position among the video slots. */
  readonly slot: number
  readonly width: number
  readonly height: number
  /** Of the picture that came last, width by height; 0 before the first one. */
  readonly aspect: number
  /** Whether anybody is in it. */
  readonly taken: boolean
}

const MAX_HEIGHT = 4320
const MAX_DENSITY = 2 // nobody sees finer dots on a moving picture
const USUAL_ASPECT = 16 / 9

/**
 * The heights to ask for, in device pixels.
 *
 * A slot that nobody is in is left out: whoever comes into it is seen at once, and measured then.
 */
export function sizesOf(seen: readonly Seen[], watching: boolean, density: number): SlotSize[] {
  return seen
    .filter((one) => one.taken || !watching)
    .map((one) => ({ slot: one.slot, height: watching ? shownHeight(one, density) : 0 }))
}

/** A picture keeps its shape inside its box, so a narrow box shows it lower than the box is. */
function shownHeight(one: Seen, density: number): number {
  const height = Math.min(one.height, one.width / (one.aspect || USUAL_ASPECT))
  return Math.min(MAX_HEIGHT, Math.ceil(height * Math.min(density, MAX_DENSITY)))
}

export function sameSizes(one: readonly SlotSize[] | null, other: readonly SlotSize[]): boolean {
  return one?.length === other.length && one.every((size, at) => size.slot === other[at]?.slot && size.height === other[at].height)
}
