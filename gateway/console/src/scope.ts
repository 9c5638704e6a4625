/**
 * Ticks in the tree of places, turned into the scope of a directive or a conference.
 *
 * Pure.  The tree is the parent pointer, never the digits of the code.
 */
import type { Place } from "./protocol"

export interface ScopeItem {
  readonly node: string
  readonly mode: "self" | "subtree" | "children" | "tier"
  readonly tier?: number
  readonly post?: string
}

export interface Tree {
  /** Places without a known parent: usually the province, or this node. */
  readonly roots: readonly string[]
  readonly places: ReadonlyMap<string, Place>
  readonly children: ReadonlyMap<string, readonly string[]>
}

export function plant(places: ReadonlyMap<string, Place>): Tree {
  const children = new Map<string, string[]>()
  const roots: string[] = []
  for (const place of places.values()) {
    if (place.parent === null || !places.has(place.parent)) roots.push(place.code)
    else children.set(place.parent, [...(children.get(place.parent) ?? []), place.code])
  }
  return { roots, places, children }
}

/** `code` and everything below it, parents before children. */
export function subtree(tree: Tree, code: string): string[] {
  const found = [code]
  for (let index = 0; index < found.length; index++) found.push(...(tree.children.get(found[index]!) ?? []))
  return found
}

/** Tick or untick `code`, with everything below it when `below` is set. */
export function toggle(tree: Tree, ticked: ReadonlySet<string>, code: string, below: boolean): Set<string> {
  const next = new Set(ticked)
  const codes = below ? subtree(tree, code) : [code]
  for (const one of codes) {
    if (ticked.has(code)) next.delete(one)
    else next.add(one)
  }
  return next
}

/** Everything below `self`, without itself: what 全部下级 ticks. */
export function allBelow(tree: Tree, self: string): Set<string> {
  return new Set(subtree(tree, self).slice(1))
}

/** The shortest scope that means exactly the ticked places: whole subtrees are named once. */
export function toScope(tree: Tree, ticked: ReadonlySet<string>): ScopeItem[] {
  const scope: ScopeItem[] = []
  const visit = (code: string): void => {
    const below = tree.children.get(code) ?? []
    const whole = below.length > 0 && subtree(tree, code).every((one) => ticked.has(one))
    if (whole) {
      scope.push({ node: code, mode: "subtree" })
      return
    }
    if (ticked.has(code)) scope.push({ node: code, mode: "self" })
    below.forEach(visit)
  }
  tree.roots.forEach(visit)
  return scope
}
