/** Whole messages for tests, from the few fields a test is about. */
import type { Place } from "../src/protocol"
import type { AlarmView, CircularView, ConferenceView, DirectiveView, EscalationView, OverdueView, RecipientView, Stage, Welcome } from "../src/wire"

export const COUNTY = "430423000000"
export const TOWN = "430423100000"
export const VILLAGE = "430423100227"

export function welcome(part: Partial<Welcome> = {}): Welcome {
  const who = { name: "张三", role: "terminal", division: VILLAGE } as const
  return {
    type: "welcome", version: 1, node: VILLAGE, node_name: "八里村", tier: 5, who, division_name: "八里村",
    session: "s1", now: 1_000, resume: "r1", participant: null, ...part,
  }
}

export function recipient(node: string, stage: Stage, part: Partial<RecipientView> = {}): RecipientView {
  return {
    node, name: node, stage, relayed_at: null, delivered_at: null, shown_at: null, signed_at: null,
    signed_by: "", feedback_at: null, done_at: null, values: {}, note: "", answers: {}, post: "", on_duty: "", also_on_duty: [], ...part,
  }
}

export function directive(part: Partial<DirectiveView> = {}): DirectiveView {
  const issuer = { name: "李县长", role: "commander", division: COUNTY } as const
  return {
    type: "directive", directive: "d1", urgency: "P0", title: "转移群众", text: "立即转移", issuer,
    issuer_name: "衡山县", issued_at: 10, expires_at: 10_000_000, sign_by: 10_000, exercise: false, state: "issued",
    recipients: [], total: 0, counts: {}, sums: {}, mine: null, choices: {}, number: "", capacity: "", plan: "",
    level: 0, fields: [], attachments: [], texts: {}, voice: null, approved_by: "", countersign_by: null,
    countersigned_by: "", supersedes: null, supersedes_number: "", successor: null, successor_number: "", annotations: [],
    copied: false, ...part,
  }
}

export function alarm(part: Partial<AlarmView> = {}): AlarmView {
  return {
    type: "alarm", alarm: "a1", source: "terminal", place: VILLAGE, place_name: "八里村", kind: "flood",
    urgency: "P1", text: "河水上涨", longitude: null, latitude: null, state: "triggered", raised_at: 10,
    exercise: false, picture: null, thumbnail: null, card: part.alarm ?? "a1", count: 1, sources: 1,
    newest_at: part.raised_at ?? 10, reopened: 0, clocks: [], dispatches: [], calls: [],
    outcome: "", outcome_by: null, ...part,
  }
}

export function conference(part: Partial<ConferenceView> = {}): ConferenceView {
  return {
    type: "conference", conference: "c1", title: "调度会", home: COUNTY, convened_at: 5, ended: false,
    exercise: false, participants: [], speaker: null, ...part,
  }
}

export function place(code: string, parent: string | null, part: Partial<Place> = {}): Place {
  return { code, name: code, tier: 5, parent, longitude: null, latitude: null, online: false, terminals: 0, ...part }
}

export function circular(part: Partial<CircularView> = {}): CircularView {
  const by = { name: "周镇长", role: "commander", division: "430423101000" } as const
  return {
    type: "circular", circular: "n1", title: "上游泄洪", text: "请留意水位", asks: false, exercise: false, by,
    by_name: "店门镇", sent_at: 10, to: [TOWN], unread: 1, answers: [], ...part,
  }
}

export function escalation(part: Partial<EscalationView> = {}): EscalationView {
  const row = (node: string) => ({ node, name: node, stage: "shown" as const, reached_at: null, reached_by: "" })
  return {
    type: "escalation", escalation: `d1:${TOWN}:1`, directive: "d1", urgency: "P0", title: "转移群众", exercise: false,
    superior: TOWN, superior_name: "开云镇", n: 1, raised_at: 10, open: true, total: 1, rows: [row(VILLAGE)],
    acknowledged_by: null, acknowledged_at: null, note: "", ...part,
  }
}

/** A promise that the test settles. */
export function held<T>(): { readonly promise: Promise<T>; readonly give: (value: T) => void; readonly fail: (error: Error) => void } {
  let give!: (value: T) => void
  let fail!: (error: Error) => void
  const promise = new Promise<T>((resolve, reject) => {
    give = resolve
    fail = reject
  })
  return { promise, give, fail }
}

export function overdueList(part: Partial<OverdueView> = {}): OverdueView {
  const row = {
    kind: "response" as const, alarm: "a1", alarm_kind: "fire", alarm_place_name: "八里村", place: VILLAGE, place_name: "八里村",
    name: "", since: 10, n: 1, ended: false, ended_at: null,
  }
  return {
    type: "overdue", overdue: `${VILLAGE}-${TOWN}-10-r0`, superior: TOWN, superior_name: "开云镇", raised_at: 10, urgency: "P0",
    exercise: false, open: true, total: 1, rows: [row], acknowledged_by: null, acknowledged_at: null, note: "", ...part,
  }
}
