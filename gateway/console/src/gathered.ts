/**
 * 超时, gathered: one card for each kind of what ran out, by township, the oldest first.
 *
 * Each node sends its own lists, and what two superiors were told is on two; here it is one matter. Pure.
 */
import type { Place } from "./protocol"
import { township } from "./townships"
import type { LateView, OverdueView, TimerKind, Urgency } from "./wire"

/** One thing that somebody should have done. */
export interface Matter {
  readonly key: string
  readonly row: LateView
}

export interface TownshipLate {
  readonly code: string
  readonly name: string
  /** What is left before what was done meanwhile, each the oldest first. */
  readonly matters: readonly Matter[]
  readonly left: number
  /** When the oldest of what is left was due, UTC ms; null: nothing is. */
  readonly since: number | null
  readonly lists: readonly OverdueView[]
}

export interface Gathered {
  /** Of the kind, exercises apart. */
  readonly key: string
  readonly kind: TimerKind
  readonly exercise: boolean
  /** The highest of what is left. */
  readonly urgency: Urgency
  readonly total: number
  readonly left: number
  readonly since: number
  /** On the lists, but not told one by one. */
  readonly more: number
  readonly townships: readonly TownshipLate[]
  /** Every list that names one of these, in no order. */
  readonly lists: readonly OverdueView[]
}

interface Found {
  row: LateView
  readonly lists: Set<OverdueView>
}

/** Cards with something left: those that nobody has in hand first, then the most urgent, then the oldest. */
export function gathered(lists: ReadonlyMap<string, OverdueView>, places: ReadonlyMap<string, Place>): Gathered[] {
  const kinds = new Map<string, Map<string, Found>>()
  for (const view of lists.values())
    for (const row of view.rows) {
      const found = reach(kinds, `${row.kind}${view.exercise ? " exercise" : ""}`, () => new Map<string, Found>())
      const matter = reach(found, `${row.alarm} ${row.place} ${row.name} ${row.since}`, () => ({ row, lists: new Set<OverdueView>() }))
      if (row.n > matter.row.n || row.ended) matter.row = row
      matter.lists.add(view)
    }
  const cards = [...kinds].flatMap(([key, found]) => card(key, found, places) ?? [])
  const inHand = (one: Gathered): number => (waiting(one.lists).length > 0 ? 0 : 1)
  return cards.sort((a, b) => inHand(a) - inHand(b) || a.urgency.localeCompare(b.urgency) || a.since - b.since)
}

/** The lists that nobody has taken in hand. */
export function waiting(lists: readonly OverdueView[]): OverdueView[] {
  return lists.filter((view) => view.acknowledged_by === null)
}

function card(key: string, found: ReadonlyMap<string, Found>, places: ReadonlyMap<string, Place>): Gathered | null {
  const left = [...found.values()].filter(({ row }) => !row.ended)
  const first = left[0]
  if (first === undefined) return null
  const lists = union([...found.values()])
  const told = union(left)
  return {
    key,
    kind: first.row.kind,
    exercise: lists[0]!.exercise,
    urgency: told.map((view) => view.urgency).reduce((a, b) => (b < a ? b : a)),
    total: found.size,
    left: left.length,
    since: Math.min(...left.map(({ row }) => row.since)),
    more: lists.filter((view) => view.rows[0]?.kind === first.row.kind).reduce((sum, view) => sum + view.total - view.rows.length, 0),
    townships: byTownship(found, places),
    lists,
  }
}

function byTownship(found: ReadonlyMap<string, Found>, places: ReadonlyMap<string, Place>): TownshipLate[] {
  const towns = new Map<string, [string, Found][]>()
  for (const one of found) reach(towns, township(one[1].row.place, places), () => []).push(one)
  const late = [...towns].map(([code, matters]): TownshipLate => {
    const left = matters.filter(([, { row }]) => !row.ended)
    return {
      code,
      name: places.get(code)?.name ?? matters[0]![1].row.place_name,
      matters: matters.map(([key, { row }]) => ({ key, row })).sort(oldestFirst),
      left: left.length,
      since: left.length > 0 ? Math.min(...left.map(([, { row }]) => row.since)) : null,
      lists: union(matters.map(([, one]) => one)),
    }
  })
  return late.sort((a, b) => (a.since ?? Infinity) - (b.since ?? Infinity) || a.code.localeCompare(b.code))
}

function oldestFirst(a: Matter, b: Matter): number {
  return Number(a.row.ended) - Number(b.row.ended) || a.row.since - b.row.since || a.key.localeCompare(b.key)
}

function union(found: readonly Found[]): OverdueView[] {
  return [...new Set(found.flatMap(({ lists }) => [...lists]))]
}

function reach<V>(map: Map<string, V>, key: string, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
