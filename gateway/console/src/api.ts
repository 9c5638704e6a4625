/** The HTTP interface, typed. Every call has a deadline; every error is an `ApiError` with a stable code. */
import type { Place } from "./protocol"
import type { ScopeItem } from "./scope"
import type { Actor, AlarmState, AlarmView, DirectiveView, DraftView, RecipientView, UnitState, Urgency, Attachment, FieldSpec } from "./wire"

const DEADLINE_MS = 15_000
const UPLOAD_DEADLINE_MS = 60_000

/** `code` is the gateway's, or `unreachable` / `timeout` when no answer came: then nobody knows whether it was done. */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
    text: string,
  ) {
    super(text)
  }

  get uncertain(): boolean {
    return this.status === 0 || this.status >= 500
  }
}

export interface Session {
  readonly token: string
  readonly who: Actor
  readonly node: string
  readonly node_name: string
  readonly division_name: string
  readonly expires_at: number | string | null
}

export interface Template {
  readonly id: string
  readonly title: string
  readonly text: string
  readonly urgency: Urgency
  readonly plan: string
  readonly level: number
  readonly capacity: string
  readonly fields: readonly FieldSpec[]
}

/** A named circle of recipients. */
export interface Group {
  readonly id: string
  readonly name: string
  readonly scope: readonly ScopeItem[]
}

export interface IssueRequest {
  readonly template?: string
  readonly plan?: string
  readonly level?: number
  readonly capacity?: string
  readonly fields?: readonly FieldSpec[]
  readonly texts?: Readonly<Record<string, string>>
  readonly files?: readonly Attachment[]
  readonly voice?: string | null
  readonly supersedes?: string | null
  readonly click_id: string
  readonly urgency: Urgency
  readonly title: string
  readonly text: string
  readonly scope: readonly ScopeItem[]
  readonly exercise: boolean
  readonly expires_ms?: number
}

export interface ConveneRequest {
  readonly click_id: string
  readonly title: string
  readonly scope: readonly ScopeItem[]
  readonly exercise: boolean
}

export interface CircularRequest {
  readonly click_id: string
  readonly to: readonly string[]
  readonly title: string
  readonly text: string
  readonly asks: boolean
  readonly exercise: boolean
}

/** A place beside ours, which may be told things and never ordered. */
export interface Peer {
  readonly code: string
  readonly name: string
}

export interface AlarmReport {
  /** The press it comes from: the same one again is the same alarm. */
  readonly event: string
  readonly kind: string
  readonly text: string
  readonly urgency: Urgency
  readonly exercise: boolean
  /** Degrees as the phone gives them; null: the position of the place. */
  readonly longitude: number | null
  readonly latitude: number | null
  readonly datum: "wgs84"
}

/** A department or team that can be sent. `state` is standby, called, or the last it said; `alarm` where it is needed. */
export interface Team {
  readonly id: string
  readonly name: string
  readonly place: string
  readonly kind: string
  readonly phone: string
  readonly state: "standby" | "called" | UnitState
  readonly alarm: string | null
}

/** `person` has `post` from `starts_at` until `ends_at`, UTC milliseconds; "" where nobody has. */
export interface DutyShift {
  readonly post: string
  readonly person: string
  readonly starts_at: number
  readonly ends_at: number
}

/** How somebody is put on duty beside those who are. */
export type DutyChange = "joins" | "leaves"

/** Who has a post now and until when, and when too few have it in the time looked at. */
export interface DutyPost {
  readonly post: string
  readonly person: string
  readonly until: number
  readonly gaps: readonly DutyShift[]
  /** Those who have it now too. */
  readonly others: readonly DutyShift[]
  /** So many must have it at all times. */
  readonly need: number
}

export interface DutyRoster {
  readonly shifts: readonly DutyShift[]
  /** Number by name, for those who may put people on duty there. */
  readonly phones: Readonly<Record<string, string>>
}

export interface DutyPlace {
  readonly division: string
  /** We may put people on duty there. */
  readonly may_set: boolean
  readonly posts: readonly DutyPost[]
}

/** What the public was told of: `kind` of the newest message; `outcome`: way to `sent` or a code, absent while on its way. */
export interface ReleasedPart {
  readonly by: string
  readonly at: number
  readonly within: string | null
  readonly within_name: string
  readonly kind: "Alert" | "Update" | "Cancel"
  readonly identifier: string
  readonly outcome: Readonly<Record<string, string>>
  readonly receipts: Readonly<Record<string, string>>
}

/** `may`: we can let it out now, else `why` not; `ways`: those that reach everybody. */
export interface ReleaseState {
  readonly may: boolean
  readonly why: string
  readonly ways: readonly string[]
  readonly released: readonly ReleasedPart[]
}

export type Releasable = "directives" | "alarms"

/** One alarm of a card, as it was raised. */
export interface AlarmMember {
  readonly id: string
  readonly at: number
  readonly source: string
  readonly place: string
  readonly text: string
  readonly urgency: Urgency
}

/** One line of the audit records: `kind` is the record's type, `about` the id of what it belongs to. */
export interface AuditLine {
  readonly seq: number
  readonly at: number
  readonly node: string
  readonly node_name: string
  readonly kind: string
  readonly about: string
  readonly by: Actor | null
  readonly text: string
}

/** A piece of the records; ask again after `next`. `head` is where the journal ends. */
export interface AuditPage {
  readonly records: readonly AuditLine[]
  readonly next: number
  readonly head: number
}

/** A collection point. Of its camera only whether there is one, and what came of the last picture ("" never asked). */
export interface SourceRow {
  readonly source: string
  readonly place: string
  readonly kind: string
  readonly armed: boolean
  readonly last_seen: number | null
  readonly camera: boolean
  readonly camera_at: number | null
  readonly camera_outcome: string
}

/** `text` in the name, kind or place; `silentMin`: only those not heard of for so many minutes, 0: all. */
export interface SourceQuestion {
  readonly text: string
  readonly silentMin: number
  readonly after: number
  readonly limit: number
}

export interface SourcePage {
  readonly sources: readonly SourceRow[]
  readonly count: number
}

/** As HTTP tells it: lists leave the rows out. */
type Directive = Omit<DirectiveView, "type" | "recipients"> & { recipients?: readonly RecipientView[] }

export class Api {
  constructor(private readonly token: string) {}

  nodes(): Promise<{ self: string; nodes: Place[] }> {
    return this.get("nodes")
  }

  /** Templates, and the urgencies that somebody else must approve before they are issued. */
  templates(): Promise<{ templates: Template[]; approval: Urgency[] }> {
    return this.get("templates")
  }

  async groups(): Promise<Group[]> {
    return (await this.get<{ groups: Group[] }>("groups")).groups
  }

  attach(file: Blob, name: string): Promise<Attachment> {
    const headers = { "Content-Type": "application/octet-stream" }
    const path = `attachments?${new URLSearchParams({ name })}`
    return this.request(path, { method: "POST", body: file, headers }, UPLOAD_DEADLINE_MS)
  }

  async draft(request: IssueRequest): Promise<DraftView> {
    return draftView(await this.post("drafts", request))
  }

  /** Change a draft; `revision` is the one that was read. */
  async editDraft(draft: string, revision: number, request: IssueRequest): Promise<DraftView> {
    return draftView(await this.post(`drafts/${encodeURIComponent(draft)}/edit`, { revision, request }))
  }

  /** Issue a draft of ours that nobody else need approve. */
  issueDraft(draft: string): Promise<{ id: string; recipients: number }> {
    return this.post(`drafts/${encodeURIComponent(draft)}/issue`, {})
  }

  submitDraft(draft: string, revision: number): Promise<unknown> {
    return this.post(`drafts/${encodeURIComponent(draft)}/submit`, { revision })
  }

  approveDraft(draft: string, revision: number): Promise<{ id: string; recipients: number }> {
    return this.post(`drafts/${encodeURIComponent(draft)}/approve`, { revision })
  }

  async returnDraft(draft: string, revision: number, reason: string): Promise<DraftView> {
    return draftView(await this.post(`drafts/${encodeURIComponent(draft)}/return`, { revision, reason }))
  }

  countersign(directive: string): Promise<unknown> {
    return this.post(`directives/${encodeURIComponent(directive)}/countersign`, {})
  }

  async directives(): Promise<DirectiveView[]> {
    const { directives } = await this.get<{ directives: Directive[] }>("directives")
    return directives.map(directiveView)
  }

  /** Add a word for the places below us to a directive that passes. */
  async annotate(id: string, note: string): Promise<DirectiveView> {
    return directiveView(await this.post<Directive>(`directives/${encodeURIComponent(id)}/annotate`, { note }))
  }

  async directive(id: string): Promise<DirectiveView> {
    return directiveView(await this.get<Directive>(`directives/${encodeURIComponent(id)}`))
  }

  async peers(): Promise<Peer[]> {
    return (await this.get<{ peers: Peer[] }>("circulars/peers")).peers
  }

  sendCircular(request: CircularRequest): Promise<{ id: string; places: number }> {
    return this.post("circulars", request)
  }

  /** Without `text`: we have read it. */
  async answerCircular(id: string, text = ""): Promise<void> {
    await this.post(`circulars/${encodeURIComponent(id)}/answer`, { text })
  }

  async alarms(): Promise<AlarmView[]> {
    const { alarms } = await this.get<{ alarms: Omit<AlarmView, "type">[] }>("alarms")
    return alarms.map((alarm) => ({ ...alarm, type: "alarm" }))
  }

  issue(request: IssueRequest): Promise<{ id: string; recipients: number }> {
    return this.post("directives", request)
  }

  sign(directive: string, name: string): Promise<unknown> {
    return this.post(`directives/${encodeURIComponent(directive)}/sign`, { name })
  }

  feedback(
    directive: string,
    values: Readonly<Record<string, number>>,
    note: string,
    answers: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    return this.post(`directives/${encodeURIComponent(directive)}/feedback`, { values, note, answers })
  }

  recall(directive: string, reason: string): Promise<unknown> {
    return this.post(`directives/${encodeURIComponent(directive)}/recall`, { reason })
  }

  takeOverdue(overdue: string, note: string): Promise<unknown> {
    return this.post(`overdue/${encodeURIComponent(overdue)}/acknowledge`, { note })
  }

  acknowledge(escalation: string, note: string): Promise<unknown> {
    return this.post(`escalations/${encodeURIComponent(escalation)}/acknowledge`, { note })
  }

  convene(request: ConveneRequest): Promise<{ id: string }> {
    return this.post("conferences", request)
  }

  endConference(conference: string): Promise<unknown> {
    return this.post(`conferences/${encodeURIComponent(conference)}/end`, {})
  }

  /** `event`: the press it comes from; the same one again is the same alarm. */
  snapshot(conference: string, participant: string, text: string, event: string): Promise<{ alarm: string }> {
    const path = `conferences/${encodeURIComponent(conference)}/participants/${encodeURIComponent(participant)}/snapshot`
    return this.post(path, { text, event })
  }

  raiseAlarm(report: AlarmReport, picture: Blob | null): Promise<{ id: string }> {
    if (picture === null) return this.post("alarms", report)
    const form = new FormData()
    form.append("alarm", new Blob([JSON.stringify(report)], { type: "application/json" }), "alarm.json")
    form.append("snapshot", picture, "snapshot.jpg")
    return this.request("alarms", { method: "POST", body: form }, UPLOAD_DEADLINE_MS)
  }

  advanceAlarm(alarm: string, state: AlarmState, note: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/advance`, { state, note })
  }

  /** What the public was told of a directive or an alarm. */
  releaseState(kind: Releasable, id: string): Promise<ReleaseState> {
    return this.get(`${kind}/${encodeURIComponent(id)}/release`)
  }

  /** Let it out to the public. */
  release(kind: Releasable, id: string): Promise<unknown> {
    return this.post(`${kind}/${encodeURIComponent(id)}/release`, {})
  }

  /** Every place of ours: who has its posts now, and who is missing in the coming day. */
  async dutyBoard(): Promise<readonly DutyPlace[]> {
    return (await this.get<{ places: DutyPlace[] }>("roster/board")).places
  }

  /** Who is on duty at a place from now on. */
  async roster(division: string): Promise<DutyRoster> {
    return this.get<DutyRoster>(`roster?${new URLSearchParams({ division })}`)
  }

  /** Keep the number under which somebody is called when nobody signs; "" forgets it. */
  async setPhone(division: string, person: string, phone: string): Promise<void> {
    await this.post("roster/phone", { division, person, phone })
  }

  /** Put somebody on duty instead of whoever is; with `change` the others stay: somebody joins them, or leaves. */
  async setRoster(division: string, { post, person, starts_at, ends_at }: DutyShift, change?: DutyChange): Promise<void> {
    await this.post("roster", { division, post, person, starts_at, ends_at, change })
  }

  async units(): Promise<readonly Team[]> {
    return (await this.get<{ units: Team[] }>("units")).units
  }

  /** Send units to a card's event; they should be there within `withinMs`. */
  dispatchAlarm(alarm: string, lead: string, assist: readonly string[], withinMs: number, note: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/dispatch`, { lead, assist, within_ms: withinMs, note })
  }

  /** A unit says how far it is. */
  reportUnit(alarm: string, unit: string, state: UnitState, note: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/units/${encodeURIComponent(unit)}`, { state, note })
  }

  /** Call a department above about an alarm (吹哨). */
  callUp(alarm: string, to: string, department: string, note: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/calls`, { to, department, note })
  }

  answerCall(alarm: string, call: string, note: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/calls/${encodeURIComponent(call)}/answer`, { note })
  }

  /** The alarms of a card, oldest first: the first hundred. */
  async alarmMembers(alarm: string): Promise<readonly AlarmMember[]> {
    return (await this.get<{ alarms: AlarmMember[] }>(`alarms/${encodeURIComponent(alarm)}/members`)).alarms
  }

  /** Put an alarm on the card `incident` is on; on one of its own when they are the same. */
  groupAlarm(alarm: string, incident: string): Promise<unknown> {
    return this.post(`alarms/${encodeURIComponent(alarm)}/group`, { incident })
  }

  sources({ text, silentMin, after, limit }: SourceQuestion): Promise<SourcePage> {
    const query = { text, silent_min: String(silentMin), after: String(after), limit: String(limit) }
    return this.get(`sources?${new URLSearchParams(query)}`)
  }

  armSource(place: string, source: string, armed: boolean, reason: string): Promise<unknown> {
    return this.post("sources/arm", { place, source, armed, reason })
  }

  /** Register the points of a CSV: all lines, or none. */
  loadSources(file: Blob): Promise<{ sources: number; changed: number }> {
    return this.request("sources", { method: "POST", body: file, headers: { "Content-Type": "text/csv" } }, UPLOAD_DEADLINE_MS)
  }

  /** Have a picture taken of the camera that looks at a source. */
  sourcePicture(place: string, source: string): Promise<Blob> {
    const init = { method: "POST", body: JSON.stringify({ place, source }), headers: { "Content-Type": "application/json" } }
    return this.request("sources/picture", init, UPLOAD_DEADLINE_MS, (answer) => answer.blob())
  }

  auditRecords(reason: string, after: number): Promise<AuditPage> {
    return this.get(`audit/records?${new URLSearchParams({ reason, after: String(after), limit: "200" })}`)
  }

  blob(sha256: string): Promise<Blob> {
    return this.request(`blobs/${encodeURIComponent(sha256)}`, {}, UPLOAD_DEADLINE_MS, (answer) => answer.blob())
  }

  private get<T>(path: string): Promise<T> {
    return this.request(path, {}, DEADLINE_MS)
  }

  private post<T>(path: string, body: unknown): Promise<T> {
    const headers = { "Content-Type": "application/json" }
    return this.request(path, { method: "POST", body: JSON.stringify(body), headers }, DEADLINE_MS)
  }

  private request<T>(
    path: string,
    init: RequestInit,
    deadlineMs: number,
    read: (answer: Response) => Promise<T> = readJson,
  ): Promise<T> {
    const headers = { ...init.headers, Authorization: `Bearer ${this.token}` }
    return call(path, { ...init, headers }, deadlineMs, read)
  }
}

/** Exchange a one-time code, or a name and a password, for a token. */
export function signIn(proof: { code: string } | { name: string; password: string }): Promise<Session> {
  const headers = { "Content-Type": "application/json" }
  return call("session", { method: "POST", body: JSON.stringify(proof), headers }, DEADLINE_MS, readJson<Session>)
}

function draftView(draft: Omit<DraftView, "type">): DraftView {
  return { ...draft, type: "draft" }
}

function directiveView(directive: Directive): DirectiveView {
  return { ...directive, type: "directive", recipients: directive.recipients ?? [] }
}

async function call<T>(
  path: string,
  init: RequestInit,
  deadlineMs: number,
  read: (answer: Response) => Promise<T>,
): Promise<T> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), deadlineMs)
  try {
    const answer = await fetch(`/api/v1/${path}`, { ...init, signal: abort.signal })
    if (!answer.ok) throw await problem(answer)
    return await read(answer)
  } catch (error) {
    if (error instanceof ApiError) throw error
    throw new ApiError(abort.signal.aborted ? "timeout" : "unreachable", 0, String(error))
  } finally {
    clearTimeout(timer)
  }
}

async function readJson<T>(answer: Response): Promise<T> {
  const text = await answer.text()
  return (text === "" ? {} : JSON.parse(text)) as T
}

/** Read an RFC 9457 problem document; anything else becomes `http-<status>`. */
async function problem(answer: Response): Promise<ApiError> {
  const fallback = `http-${answer.status}`
  try {
    const body = (await answer.json()) as { code?: unknown; detail?: unknown; title?: unknown }
    const code = typeof body.code === "string" ? body.code : fallback
    return new ApiError(code, answer.status, String(body.detail ?? body.title ?? ""))
  } catch {
    return new ApiError(fallback, answer.status, "")
  }
}
