/** The tree of places as the rows on the screen. Pure. */
import type { Place } from "../protocol"
import type { Tree } from "../scope"

export interface Row {
  readonly place: Place
  readonly depth: number
  /** Null for a place without any below. */
  readonly folded: boolean | null
}

/** Rows from top to bottom; with `wanted`, every place whose name or code has it, without folding. */
export function outline(tree: Tree, open: ReadonlySet<string>, wanted: string): Row[] {
  if (wanted !== "") return search(tree, wanted)
  const rows: Row[] = []
  const visit = (code: string, depth: number): void => {
    const place = tree.places.get(code)
    if (place === undefined) return
    const below = tree.children.get(code) ?? []
    const folded = below.length === 0 ? null : !open.has(code)
    rows.push({ place, depth, folded })
    if (folded === false) for (const one of below) visit(one, depth + 1)
  }
  for (const root of tree.roots) visit(root, 0)
  return rows
}

function search(tree: Tree, wanted: string): Row[] {
  return [...tree.places.values()]
    .filter((place) => place.name.includes(wanted) || place.code.startsWith(wanted))
    .map((place) => ({ place, depth: 0, folded: null }))
}
