// Generated from signaling/messages/ by `python -m gateway.wire_ts`.  Do not edit.

export const VERSION = 3

/** First message of a session, within 10 s. */
export interface Hello {
  type: "hello"
  version: number
  token: string
  client?: string
  resume?: string
}

/** Enter a conference with the one offer of the connection. Answered by ``Joined`` or ``Failure``. */
export interface Join {
  type: "join"
  request: number
  conference: string
  sdp: string
  name?: string
}

/** A new way to the same connection: an offer with ``a=ice-ufrag`` and ``a=ice-pwd`` changed, nothing else. Answered by ``Restarted`` or ``Failure``. */
export interface Restart {
  type: "restart"
  request: number
  sdp: string
}

export interface Leave {
  type: "leave"
  request: number
}

/** Pin a participant into a video slot, or None to let the gateway choose. */
export interface Watch {
  type: "watch"
  request: number
  slot: number
  participant: string | null
}

/** How far a directive has come for one recipient, in order. */
export type Stage = "queued" | "relayed" | "delivered" | "shown" | "signed" | "feedback" | "done"

/** The page holds (``delivered``) or has put on the screen (``shown``) a directive. */
export interface Receipt {
  type: "receipt"
  directive: string
  stage: Stage
}

/** Camera, microphone or content switched on or off without renegotiating. */
export interface Publishing {
  type: "publishing"
  audio: boolean
  video: boolean
  content: boolean
}

/** ``slot`` counts video slots, as in ``Watch``; ``height`` is in device pixels, 0 when nobody sees it. */
export interface SlotSize {
  slot: number
  height: number
}

/** How high each picture is on the screen; replaces what was said before. The gateway sends no larger picture than that, and none for a slot that nobody sees. A slot that is not named gets the largest picture there is. */
export interface Sizes {
  type: "sizes"
  slots: ReadonlyArray<SlotSize>
}

/** The picture worst off stood still for so many milliseconds since the page last looked, two seconds ago. Said only when one did that should have moved. It is part of how well the page's own way in works. */
export interface Frozen {
  type: "frozen"
  ms: number
}

export type ClientMessage =
  | Hello
  | Join
  | Restart
  | Leave
  | Watch
  | Receipt
  | Publishing
  | Sizes
  | Frozen

/** What a person or a device may be. Stable: on the wire and on the command line. */
export type Role = "terminal" | "commander" | "auditor" | "device" | "admin"

/** Who acted: a name people know, a role, and the division they act for. */
export interface Actor {
  name: string
  role: Role
  division: string
}

export interface Welcome {
  type: "welcome"
  version: number
  node: string
  node_name: string
  tier: number
  who: Actor
  division_name: string
  session: string
  now: number
  resume: string
  participant: string | null
}

/** One slot of this terminal's connection and who is in it. */
export interface SlotView {
  mid: string
  kind: string
  participant: string | null
  track: string | null
  paused: boolean
  thumbnails: boolean
}

export interface Joined {
  type: "joined"
  request: number
  conference: string
  participant: string
  sdp: string
  slots: ReadonlyArray<SlotView>
}

export interface Restarted {
  type: "restarted"
  request: number
  sdp: string
}

/** A request without other answer was carried out. */
export interface Done {
  type: "done"
  request: number
}

/** ``code`` is stable; ``request`` is None when no request can be named. */
export interface Failure {
  type: "failure"
  code: string
  text: string
  request: number | null
}

/** Which source feeds each slot now. Sent on every change. */
export interface Slots {
  type: "slots"
  conference: string
  slots: ReadonlyArray<SlotView>
}

export interface TrackView {
  track: string
  kind: string
  label: string
  codec: string
  muted: boolean
}

export interface ParticipantView {
  participant: string
  node: string
  division: string
  name: string
  tracks: ReadonlyArray<TrackView>
}

/** A conference this session may join, as it stands. */
export interface ConferenceView {
  type: "conference"
  conference: string
  title: string
  home: string
  convened_at: number
  ended: boolean
  exercise: boolean
  participants: ReadonlyArray<ParticipantView>
  speaker: string | null
}

/** 特提, 特急, 加急, 平急. */
export type Urgency = "P0" | "P1" | "P2" | "P3"

/** One row of the sign-off matrix. Times are None until reached. */
export interface RecipientView {
  node: string
  name: string
  stage: Stage
  relayed_at: number | null
  delivered_at: number | null
  shown_at: number | null
  signed_at: number | null
  signed_by: string
  feedback_at: number | null
  done_at: number | null
  values: Readonly<Record<string, number>>
  note: string
  answers: Readonly<Record<string, string>>
  post: string
  on_duty: string
  also_on_duty: ReadonlyArray<string>
}

/** What a tier between added for the places below it (转办批示). */
export interface AnnotationView {
  division: string
  division_name: string
  by: string
  at: number
  note: string
}

export type FieldKind = "int" | "choice" | "text"

/** One field of a feedback form. ``label`` (Chinese) and ``label_en`` default to ``name``. ``low`` and ``high`` bound a number, ``choices`` are what a choice may be. ``sum``: numbers are added up over the recipients; choices are counted in any case. */
export interface FieldSpec {
  name: string
  kind: FieldKind
  label: string
  label_en: string
  unit: string
  sum: boolean
  low: number
  high: number
  choices: ReadonlyArray<string>
  required: boolean
}

/** A file known by its SHA-256. ``media`` is its type, ``name`` what people call it. */
export interface Attachment {
  sha256: string
  size: number
  media: string
  name: string
}

/** To a terminal: ring and show (``mine`` below ``shown``) or list it. To a console: header and matrix. */
export interface DirectiveView {
  type: "directive"
  directive: string
  urgency: Urgency
  title: string
  text: string
  issuer: Actor
  issuer_name: string
  issued_at: number
  expires_at: number
  exercise: boolean
  state: string
  sign_by: number
  recipients: ReadonlyArray<RecipientView>
  total: number
  counts: Readonly<Record<string, number>>
  sums: Readonly<Record<string, number>>
  mine: RecipientView | null
  annotations: ReadonlyArray<AnnotationView>
  copied: boolean
  choices: Readonly<Record<string, Readonly<Record<string, number>>>>
  number: string
  capacity: string
  plan: string
  level: number
  fields: ReadonlyArray<FieldSpec>
  attachments: ReadonlyArray<Attachment>
  texts: Readonly<Record<string, string>>
  voice: string | null
  approved_by: string
  countersign_by: number | null
  countersigned_by: string
  supersedes: string | null
  supersedes_number: string
  successor: string | null
  successor_number: string
}

/** Which places an entry of a scope means. */
export type Mode = "self" | "subtree" | "children" | "tier"

/** ``tier``: of the places meant by mode tier, 1 (province) .. 5 (village), at or below ``node``. ``post``: who is addressed at each place; "" is the place's terminal, whoever sits there. */
export interface ScopeItem {
  node: string
  mode: Mode
  tier: number
  post: string
}

/** What an issuer asks for. The same ``click_id`` of the same issuer is the same directive. ``texts``: the same text in further languages, by name; ``files`` and ``voice`` are SHA-256 of what was uploaded; ``level``: response level 1 (highest) .. 4, 0 for none; ``supersedes``: the directive this one takes the place of. */
export interface DirectiveRequest {
  click_id: string
  urgency: Urgency
  title: string
  text: string
  scope: ReadonlyArray<ScopeItem>
  exercise: boolean
  expires_ms: number
  capacity: string
  template: string
  plan: string
  level: number
  fields: ReadonlyArray<FieldSpec>
  texts: Readonly<Record<string, string>>
  files: ReadonlyArray<Attachment>
  voice: string | null
  supersedes: string | null
}

/** A directive that is not issued yet, to its author and those who may approve it; sent again on every change. ``state`` is draft, pending, or issued: then it is a directive and this the last word of the draft. */
export interface DraftView {
  type: "draft"
  directive: string
  state: string
  revision: number
  by: Actor
  drafted_at: number
  submitted_at: number | null
  returned_by: string
  returned_reason: string
  recipients: number
  request: DirectiveRequest
  before: DirectiveRequest | null
}

/** One row of a matrix moved. */
export interface DeliveryChanged {
  type: "delivery"
  directive: string
  recipient: RecipientView
}

/** To a terminal: it is shown and nobody has signed, so ring again, for the ``n``-th time. */
export interface Ring {
  type: "ring"
  directive: string
  n: number
}

/** Who is on duty in ``post`` of ``division`` now; nobody that the roster names where ``people`` is empty. */
export interface DutyNow {
  division: string
  post: string
  people: ReadonlyArray<string>
}

/** To a console: a roster was changed, or a shift began or ended. What is shown of these rosters is outdated. */
export interface DutyChanged {
  type: "duty"
  posts: ReadonlyArray<DutyNow>
}

/** One place of a list of those not reached. ``stage`` is None where the directive itself is not known. */
export interface MissingView {
  node: string
  name: string
  stage: Stage | null
  reached_at: number | null
  reached_by: string
}

/** 未叫醒名单: who had not signed at the ``n``-th limit; sent again whole when anything on it changes. */
export interface EscalationView {
  type: "escalation"
  escalation: string
  directive: string
  urgency: Urgency
  title: string
  exercise: boolean
  superior: string
  superior_name: string
  n: number
  raised_at: number
  open: boolean
  total: number
  rows: ReadonlyArray<MissingView>
  acknowledged_by: Actor | null
  acknowledged_at: number | null
  note: string
}

/** What a clock is for. Of a directive: ring again, the limit is over, tell a superior, re-dial, no second name in time. Of an alarm: the 1-3-5 clocks, a unit that was sent is not there, a department that was called does not answer. */
export type TimerKind = "repeat" | "limit" | "escalate" | "redial" | "countersign" | "response" | "on_site" | "handled" | "unit" | "call"

/** One thing that should have been done by ``since``: a 1-3-5 clock, a unit on its way, or a call to be answered. */
export interface LateView {
  kind: TimerKind
  alarm: string
  alarm_kind: string
  alarm_place_name: string
  place: string
  place_name: string
  name: string
  since: number
  n: number
  ended: boolean
  ended_at: number | null
}

/** 超时: what ran out for one superior, to it and to whoever is late; sent again whole when anything on it changes. Ring when it is new, open, and nobody has taken it in hand. Who is late and not the superior sees its own rows. */
export interface OverdueView {
  type: "overdue"
  overdue: string
  superior: string
  superior_name: string
  raised_at: number
  urgency: Urgency
  exercise: boolean
  open: boolean
  total: number
  rows: ReadonlyArray<LateView>
  acknowledged_by: Actor | null
  acknowledged_at: number | null
  note: string
}

/** To a console: what should keep watch (``of``: auditor) has said nothing for so long; 0: it is heard. Said at the start of a session, and when it or what the watch has found changes. */
export interface Silence {
  type: "silence"
  of: string
  seconds: number
  missed: number
  faults: number
}

/** To a console: neighbour ``node`` speaks version ``theirs`` (0: it did not say), this gateway ``ours``. ``refused``: they do not work together and are not linked. ``held``: records of the newer neighbour that are kept until this gateway is upgraded. Neither: all is well again. */
export interface Skew {
  type: "skew"
  node: string
  theirs: number
  ours: number
  held: number
  refused: boolean
}

/** To a console: the gateway of ``node`` below has not been linked since ``since``, UTC ms. Nobody here is told when the clocks of ``alarms`` alarms run out that it keeps, or a gateway below it; those of ``late`` have, and are not met. ``since`` null: they are kept again, or nothing is left to keep. */
export interface Unguarded {
  type: "unguarded"
  node: string
  since: number | null
  alarms: number
  late: number
}

export type AlarmState = "triggered" | "false" | "merged" | "confirmed" | "dispatched" | "on_site" | "handled" | "closed"

/** One of the 1-3-5 clocks: ``response`` within 1 minute, ``on_site`` within 3, ``handled`` within 5. */
export interface ClockView {
  clock: string
  due: number
  met_at: number | null
}

/** How far a unit that was sent has come: 已接警, 出动, 到场, 处置完, 返回. */
export type UnitState = "acknowledged" | "out" | "on_site" | "handled" | "returned"

/** One unit that was sent. ``times``: when it said each of its states. */
export interface DispatchView {
  unit: string
  name: string
  place: string
  place_name: string
  lead: boolean
  called_at: number
  deadline: number
  state: UnitState | null
  times: Readonly<Record<string, number>>
  note: string
}

/** A department above that was called, and what it answered; overdue when ``deadline`` is over and it has not. */
export interface CallView {
  call: string
  to: string
  to_name: string
  department: string
  by: Actor
  raised_at: number
  deadline: number
  note: string
  answered_at: number | null
  answered_by: Actor | null
  answer: string
}

/** A card of one alarm or many; sent again whole when anything on it changes. Pictures are fetched by hash. ``urgency`` is the highest of its alarms, ``text`` the newest. Ring when ``urgency`` rises to P0 or P1, and when ``reopened`` grows. */
export interface AlarmView {
  type: "alarm"
  alarm: string
  source: string
  place: string
  place_name: string
  kind: string
  urgency: Urgency
  text: string
  longitude: number | null
  latitude: number | null
  state: AlarmState
  raised_at: number
  exercise: boolean
  picture: string | null
  thumbnail: string | null
  card: string
  count: number
  sources: number
  newest_at: number
  reopened: number
  clocks: ReadonlyArray<ClockView>
  dispatches: ReadonlyArray<DispatchView>
  calls: ReadonlyArray<CallView>
  outcome: string
  outcome_by: Actor | null
}

/** A told place has read a circular (``text`` is empty), or answers it. */
export interface CircularAnswer {
  place: string
  place_name: string
  by: string
  at: number
  text: string
}

/** A lateral circular (通报, or 协查 when it ``asks``): read it or answer it; nobody signs. */
export interface CircularView {
  type: "circular"
  circular: string
  title: string
  text: string
  asks: boolean
  exercise: boolean
  by: Actor
  by_name: string
  sent_at: number
  to: ReadonlyArray<string>
  unread: number
  answers: ReadonlyArray<CircularAnswer>
}

/** A place of this node's subtree came or went (a gateway link or a terminal session). */
export interface NodeView {
  type: "node"
  node: string
  online: boolean
  terminals: number
}

export interface Speaking {
  type: "speaking"
  conference: string
  speaker: string | null
}

/** How well one way of a connection works. ``level``: 4 as good as it gets, 3 good, 2 fair, 1 poor, 0 nothing arrives. ``reason`` is "" at 4, else ``loss`` (``value``: percent), ``far`` (round trip, ms), ``jitter`` (ms), ``slow`` (what fits, kbit/s), ``paused`` (pictures), ``thumbnails`` (pictures), ``busy`` (the gateway's strain, 1 to 3), ``silent``, or ``link`` (percent lost between gateways). */
export interface Condition {
  level: number
  reason: string
  value: number
}

/** How well what a participant sends reaches the gateways on its way here. */
export interface Standing {
  participant: string
  condition: Condition
}

/** How well this connection works, and those it shows; on change, at most every 2 s. ``uplink`` is None while nothing is sent, ``downlink`` while nothing comes. ``others`` has the participants in this connection's slots whose way is not the best; replaces what was said before. */
export interface Quality {
  type: "quality"
  conference: string
  uplink: Condition | null
  downlink: Condition | null
  others: ReadonlyArray<Standing>
}

export type GatewayMessage =
  | Welcome
  | Joined
  | Restarted
  | Done
  | Failure
  | Slots
  | ConferenceView
  | DirectiveView
  | DraftView
  | DeliveryChanged
  | Ring
  | DutyChanged
  | EscalationView
  | OverdueView
  | Silence
  | Skew
  | Unguarded
  | AlarmView
  | CircularView
  | NodeView
  | Speaking
  | Quality
