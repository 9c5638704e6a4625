/**
 * What the gateway says, turned into what the page knows.
 *
 * Pure: no DOM, no socket, no clock.  `reduce` is the only place the state changes; it returns the
 * same object when a message changes nothing, so that a repeat costs no drawing.
 */
import type {
  AlarmView,
  CallView,
  CircularView,
  ClockView,
  ConferenceView,
  DirectiveView,
  DraftView,
  DutyChanged,
  EscalationView,
  GatewayMessage,
  NodeView,
  OverdueView,
  Quality,
  RecipientView,
  Silence,
  Skew,
  SlotView,
  Stage,
  Unguarded,
  UnitState,
  Urgency,
  Welcome,
} from "./wire"
import { VERSION } from "./wire"

/** Newest kept; a page stays open for a shift of 8 hours and must not grow. */
export const MAX_ALARMS = 300
export const MAX_DIRECTIVES = 100
export const MAX_CIRCULARS = 100
/** Of each kind: every village may send a list of its own for each of the three clocks. */
export const MAX_LISTS = 1_000

export const STAGES: readonly Stage[] = ["queued", "relayed", "delivered", "shown", "signed", "feedback", "done"]
export const URGENCIES: readonly Urgency[] = ["P0", "P1", "P2", "P3"]

/** A division of the tree as `GET nodes` tells it. Degrees are GCJ-02; null when unknown. */
export interface Place {
  readonly code: string
  readonly name: string
  readonly tier: number
  readonly parent: string | null
  readonly longitude: number | null
  readonly latitude: number | null
  readonly online: boolean
  readonly terminals: number
}

/** The conference this page is in. `self` is null until the gateway has answered. */
export interface Seat {
  readonly conference: string
  readonly self: string
  readonly slots: readonly SlotView[]
}

export interface State {
  readonly welcome: Welcome | null
  readonly places: ReadonlyMap<string, Place>
  readonly conferences: ReadonlyMap<string, ConferenceView>
  readonly directives: ReadonlyMap<string, DirectiveView>
  /** Directives that are not issued yet: mine, and those I may approve. */
  readonly drafts: ReadonlyMap<string, DraftView>
  readonly alarms: ReadonlyMap<string, AlarmView>
  readonly circulars: ReadonlyMap<string, CircularView>
  /** 未叫醒名单 by id. */
  readonly escalations: ReadonlyMap<string, EscalationView>
  /** 超时: lists of what ran out, by id, on which something is still to be done. */
  readonly overdue: ReadonlyMap<string, OverdueView>
  /** What keeps watch over the gateway, by name: for how long it was not heard, and what it found. */
  readonly watches: ReadonlyMap<string, Silence>
  /** Neighbouring gateways of another version that costs something, by node. */
  readonly skews: ReadonlyMap<string, Skew>
  /** Gateways below that are not heard and keep the clocks of alarms, by node. */
  readonly unguarded: ReadonlyMap<string, Unguarded>
  /** The last word of who is on duty: rosters read before it are outdated. */
  readonly duty: DutyChanged | null
  readonly seat: Seat | null
  /** How well our connection of the meeting works, and those it shows; null until the gateway has said. */
  readonly quality: Quality | null
}

export const EMPTY: State = {
  welcome: null,
  places: new Map(),
  conferences: new Map(),
  directives: new Map(),
  drafts: new Map(),
  alarms: new Map(),
  circulars: new Map(),
  escalations: new Map(),
  overdue: new Map(),
  watches: new Map(),
  skews: new Map(),
  unguarded: new Map(),
  duty: null,
  seat: null,
  quality: null,
}

/** Things the page itself learns or does that are not messages of the socket. */
export type PageEvent =
  | { readonly type: "places"; readonly places: readonly Place[] }
  | { readonly type: "directives"; readonly directives: readonly DirectiveView[] }
  | { readonly type: "alarms"; readonly alarms: readonly AlarmView[] }
  | { readonly type: "left" }

export function reduce(state: State, message: GatewayMessage | PageEvent): State {
  switch (message.type) {
    case "welcome":
      return {
        ...state, welcome: message, watches: new Map(), overdue: new Map(), skews: new Map(), unguarded: new Map(), conferences: new Map(), drafts: new Map(), quality: null, seat: resumed(state.seat, message.participant),
      }
    case "joined":
      return { ...state, seat: { conference: message.conference, self: message.participant, slots: message.slots }, quality: null }
    case "left":
      return state.seat === null ? state : { ...state, seat: null, quality: null }
    case "slots":
      return withSlots(state, message.conference, message.slots)
    case "quality":
      return state.seat?.conference === message.conference ? { ...state, quality: message } : state
    case "conference":
      return withConference(state, message)
    case "speaking":
      return withSpeaker(state, message.conference, message.speaker)
    case "directive":
      return { ...state, directives: withDirective(state.directives, message) }
    case "directives":
      return { ...state, directives: message.directives.reduce(withDirective, state.directives) }
    case "draft":
      return { ...state, drafts: withDraft(state.drafts, message) }
    case "delivery":
      return withDelivery(state, message.directive, message.recipient)
    case "duty":
      return withDuty(state, message)
    case "escalation":
      return { ...state, escalations: withEscalation(state.escalations, message) }
    case "overdue":
      return { ...state, overdue: withOverdue(state.overdue, message) }
    case "silence":
      return { ...state, watches: new Map(state.watches).set(message.of, message) }
    case "skew":
      return { ...state, skews: withSkew(state.skews, message) }
    case "unguarded":
      return { ...state, unguarded: withUnguarded(state.unguarded, message) }
    case "alarm":
      return { ...state, alarms: withAlarm(state.alarms, message) }
    case "alarms":
      return { ...state, alarms: message.alarms.reduce(withAlarm, state.alarms) }
    case "circular":
      return { ...state, circulars: withCircular(state.circulars, message) }
    case "node":
      return withNode(state, message)
    case "places":
      return { ...state, places: new Map(message.places.map((place) => [place.code, place])) }
    case "ring":
    case "done":
    case "restarted":
    case "failure":
      return state
    default:
      return unknownMessage(state, message)
  }
}

/** A newer gateway may say something this page does not know: ignore it, and let the compiler list what is missing. */
function unknownMessage(state: State, _message: never): State {
  return state
}

function withCircular(known: ReadonlyMap<string, CircularView>, view: CircularView): ReadonlyMap<string, CircularView> {
  const newest = [...known.values()].filter((one) => one.circular !== view.circular)
  newest.push(view)
  newest.sort((one, other) => other.sent_at - one.sent_at)
  return new Map(newest.slice(0, MAX_CIRCULARS).map((one) => [one.circular, one]))
}

/** Circulars newest first, those that `division` was told of and has not read in front. */
export function circularsFor(state: State, division: string): CircularView[] {
  const unread = (view: CircularView): number => (isUnread(view, division) ? 0 : 1)
  return [...state.circulars.values()].sort((one, other) => unread(one) - unread(other) || other.sent_at - one.sent_at)
}

export function isUnread(view: CircularView, division: string): boolean {
  return view.to.includes(division) && !view.answers.some((answer) => answer.place === division)
}

function withSlots(state: State, conference: string, slots: readonly SlotView[]): State {
  if (state.seat === null || state.seat.conference !== conference) return state
  return { ...state, seat: { ...state.seat, slots } }
}

function withConference(state: State, view: ConferenceView): State {
  const conferences = new Map(state.conferences)
  if (view.ended) conferences.delete(view.conference)
  else conferences.set(view.conference, view)
  const gone = view.ended && state.seat?.conference === view.conference
  return { ...state, conferences, ...(gone && { seat: null, quality: null }) }
}

function withSpeaker(state: State, conference: string, speaker: string | null): State {
  const view = state.conferences.get(conference)
  if (view === undefined || view.speaker === speaker) return state
  return { ...state, conferences: new Map(state.conferences).set(conference, { ...view, speaker }) }
}

function withDirective(
  directives: ReadonlyMap<string, DirectiveView>,
  view: DirectiveView,
): ReadonlyMap<string, DirectiveView> {
  const known = directives.get(view.directive)
  const recipients = view.recipients.length > 0 ? view.recipients : (known?.recipients ?? [])
  const merged = new Map(directives).set(view.directive, { ...view, recipients })
  const waiting = [...merged.values()].filter(waits).length
  const places = Math.max(MAX_DIRECTIVES, waiting)
  return newest(merged, places, (one) => (waits(one) ? Number.MAX_SAFE_INTEGER : one.issued_at))
}

/** What is issued is a directive and no draft any more. */
function withDraft(drafts: ReadonlyMap<string, DraftView>, view: DraftView): ReadonlyMap<string, DraftView> {
  const merged = new Map(drafts)
  if (view.state === "issued") merged.delete(view.directive)
  else merged.set(view.directive, view)
  return merged
}

/** An alarm that is on another's card has none of its own. */
function withAlarm(alarms: ReadonlyMap<string, AlarmView>, view: AlarmView): ReadonlyMap<string, AlarmView> {
  const merged = new Map(alarms)
  if (view.card === view.alarm) merged.set(view.alarm, view)
  else if (!merged.delete(view.alarm)) return alarms
  return newest(merged, MAX_ALARMS, (one) => one.newest_at)
}

function withSkew(skews: ReadonlyMap<string, Skew>, skew: Skew): ReadonlyMap<string, Skew> {
  const merged = new Map(skews)
  if (skew.refused || skew.held > 0) merged.set(skew.node, skew)
  else merged.delete(skew.node)
  return merged
}

function withUnguarded(known: ReadonlyMap<string, Unguarded>, view: Unguarded): ReadonlyMap<string, Unguarded> {
  const merged = new Map(known)
  if (view.since === null) merged.delete(view.node)
  else merged.set(view.node, view)
  return merged
}

function withEscalation(
  escalations: ReadonlyMap<string, EscalationView>,
  view: EscalationView,
): ReadonlyMap<string, EscalationView> {
  const merged = new Map(escalations)
  if (view.open) merged.set(view.escalation, view)
  else merged.delete(view.escalation)
  return newest(merged, MAX_LISTS, (one) => one.raised_at)
}

function withOverdue(known: ReadonlyMap<string, OverdueView>, view: OverdueView): ReadonlyMap<string, OverdueView> {
  const merged = new Map(known)
  if (view.open) merged.set(view.overdue, view)
  else merged.delete(view.overdue)
  return newest(merged, MAX_LISTS, (one) => one.raised_at)
}

/** Lists of what ran out: not yet in hand first, then the most urgent, then the newest. */
export function overdueByUrgency(state: State): OverdueView[] {
  const inHand = (view: OverdueView): number => (view.acknowledged_by === null ? 0 : 1)
  return [...state.overdue.values()].sort(
    (a, b) => inHand(a) - inHand(b) || a.urgency.localeCompare(b.urgency) || b.raised_at - a.raised_at,
  )
}

function withDelivery(state: State, directive: string, row: RecipientView): State {
  const view = state.directives.get(directive)
  if (view === undefined) return state
  const known = view.recipients.some((one) => one.node === row.node)
  const recipients = known
    ? view.recipients.map((one) => (one.node === row.node ? row : one))
    : [...view.recipients, row]
  const mine = view.mine?.node === row.node ? row : view.mine
  return { ...state, directives: new Map(state.directives).set(directive, { ...view, recipients, mine }) }
}

/** Whoever is on duty now may sign what is addressed to that post. */
function withDuty(state: State, duty: DutyChanged): State {
  const now = new Map(duty.posts.map((one) => [`${one.division} ${one.post}`, one.people]))
  const directives = new Map(state.directives)
  for (const [id, view] of directives)
    if (view.recipients.some((row) => now.has(`${row.node} ${row.post}`)))
      directives.set(id, { ...view, recipients: view.recipients.map((row) => relieved(row, now.get(`${row.node} ${row.post}`))) })
  return { ...state, directives, duty }
}

function relieved(row: RecipientView, people: readonly string[] | undefined): RecipientView {
  return people === undefined ? row : { ...row, on_duty: people[0] ?? "", also_on_duty: people.slice(1) }
}

/** Who may sign for a post: everybody who has it now; where nobody is named, whoever is there. */
export function onDuty(row: RecipientView | null): readonly string[] {
  return row === null || row.on_duty === "" ? [] : [row.on_duty, ...row.also_on_duty]
}

function withNode(state: State, message: NodeView): State {
  const place = state.places.get(message.node)
  if (place === undefined) return state
  if (place.online === message.online && place.terminals === message.terminals) return state
  const { online, terminals } = message
  return { ...state, places: new Map(state.places).set(message.node, { ...place, online, terminals }) }
}

function newest<T>(views: Map<string, T>, limit: number, at: (view: T) => number): ReadonlyMap<string, T> {
  if (views.size <= limit) return views
  const kept = [...views].sort(([, a], [, b]) => at(b) - at(a)).slice(0, limit)
  return new Map(kept)
}

/** Whether `stage` has come at least as far as `bar`. */
export function reached(stage: Stage, bar: Stage): boolean {
  return STAGES.indexOf(stage) >= STAGES.indexOf(bar)
}

/** 应收, 送达, 展示, 签收 of one directive. `rate` is 0..1, and 0 when nobody has to sign. */
export interface Tally {
  readonly total: number
  readonly delivered: number
  readonly shown: number
  readonly signed: number
  readonly rate: number
}

/**
 * Count a matrix. A later stage counts for the earlier ones: a signature proves delivery.
 *
 * A list brings no rows but the gateway's own counts; the greater of both is the later news.
 */
export function tally(view: DirectiveView): Tally {
  const count = (bar: Stage): number => {
    const rows = view.recipients.filter((row) => reached(row.stage, bar)).length
    const told = STAGES.filter((stage) => reached(stage, bar)).reduce((sum, stage) => sum + (view.counts[stage] ?? 0), 0)
    return view.recipients.length < view.total ? Math.max(rows, told) : rows
  }
  const total = Math.max(view.total, view.recipients.length)
  const signed = count("signed")
  return { total, delivered: count("delivered"), shown: count("shown"), signed, rate: total === 0 ? 0 : signed / total }
}

/** Names of numbers in the order people say them; others follow in the order they came. */
const SAID_FIRST: readonly string[] = ["应转", "已转"]

/** Feedback numbers in the order they are read out. */
export function numbers(values: Readonly<Record<string, number>>): (readonly [string, number])[] {
  const place = (name: string): number => (SAID_FIRST.includes(name) ? SAID_FIRST.indexOf(name) : SAID_FIRST.length)
  return Object.entries(values).sort(([a], [b]) => place(a) - place(b))
}

/** Feedback numbers of all recipients, summed by name. */
export function totals(view: DirectiveView): ReadonlyMap<string, number> {
  if (view.recipients.length < view.total) return new Map(Object.entries(view.sums))
  const sums = new Map<string, number>()
  for (const row of view.recipients)
    for (const [name, value] of Object.entries(row.values)) sums.set(name, (sums.get(name) ?? 0) + value)
  return sums
}

/** Unsigned although its time to sign is over. `now` and `sign_by` are UTC milliseconds. */
export function overdue(view: DirectiveView, row: RecipientView, now: number): boolean {
  return view.state === "issued" && now > view.sign_by && !reached(row.stage, "signed")
}

/** Whether it is for this terminal to sign yet: such a one is never dropped for newer ones. */
function waits(view: DirectiveView): boolean {
  return view.state === "issued" && view.mine !== null && !reached(view.mine.stage, "signed")
}

/** Directives a terminal still has to sign, most urgent first, then oldest first. */
export function unsigned(state: State): DirectiveView[] {
  return [...state.directives.values()]
    .filter(waits)
    .sort((a, b) => a.urgency.localeCompare(b.urgency) || a.issued_at - b.issued_at)
}

/** As a terminal lists them: open before settled, then the most urgent, then the newest. */
export function directivesByUrgency(state: State): DirectiveView[] {
  const settled = (view: DirectiveView): number => (waits(view) ? 0 : 1)
  return [...state.directives.values()].sort(
    (a, b) => settled(a) - settled(b) || (settled(a) === 0 ? a.urgency.localeCompare(b.urgency) : 0) || b.issued_at - a.issued_at,
  )
}

/** Newest first. */
export function directivesByTime(state: State): DirectiveView[] {
  return [...state.directives.values()].sort((a, b) => b.issued_at - a.issued_at)
}

/** Lists that still name somebody nobody has reached: not yet in hand first, then newest first. */
export function notReached(state: State): EscalationView[] {
  const inHand = (view: EscalationView): number => (view.acknowledged_by === null ? 0 : 1)
  return [...state.escalations.values()]
    .filter((view) => view.total > view.rows.length || view.rows.some((row) => row.reached_at === null))
    .sort((a, b) => inHand(a) - inHand(b) || a.urgency.localeCompare(b.urgency) || b.raised_at - a.raised_at)
}

/** Open alarms before settled ones, each newest first. */
export function alarmsByTime(state: State): AlarmView[] {
  return [...state.alarms.values()].sort((a, b) => Number(settled(a)) - Number(settled(b)) || b.newest_at - a.newest_at)
}

/** Whether a verdict was given on everything on the card. */
export function settled(view: AlarmView): boolean {
  return ["false", "merged", "closed"].includes(view.state)
}

const UNIT_STATES: readonly UnitState[] = ["acknowledged", "out", "on_site", "handled", "returned"]

/** What a unit says after `state`; null when it is back. */
export function nextState(state: UnitState | null): UnitState | null {
  return UNIT_STATES[state === null ? 0 : UNIT_STATES.indexOf(state) + 1] ?? null
}

/** The places above `code`, nearest first. */
export function lineAbove(state: State, code: string): Place[] {
  const line: Place[] = []
  for (let place = state.places.get(code); place?.parent != null && line.length < 8; place = line.at(-1)) {
    const parent = state.places.get(place.parent)
    if (parent === undefined) break
    line.push(parent)
  }
  return line
}

/** Whether a department that was called has let its time run out. `now`: UTC milliseconds. */
export function callOverdue(call: CallView, now: number): boolean {
  return (call.answered_at ?? now) > call.deadline
}

/** A clock of an alarm at `now`, UTC milliseconds: stopped in time, or too late or not at all, or still running. */
export function clockState(clock: ClockView, now: number): "met" | "missed" | "running" {
  if ((clock.met_at ?? now) > clock.due) return "missed"
  return clock.met_at === null ? "running" : "met"
}

/** Whether the gateway speaks a later version than this page, which it still understands. */
export function outdated(state: State): boolean {
  return state.welcome !== null && state.welcome.version > VERSION
}

/** Newest first; all of them are running, for ended ones are dropped. */
export function conferencesByTime(state: State): ConferenceView[] {
  return [...state.conferences.values()].sort((a, b) => b.convened_at - a.convened_at)
}

/** The seat that outlived the lost line, or null: it has to be taken anew. */
function resumed(seat: Seat | null, participant: string | null): Seat | null {
  return seat !== null && seat.self === participant ? seat : null
}
