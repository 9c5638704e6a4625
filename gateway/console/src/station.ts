/**
 * One signed-in page: its state, its line to the gateway, its seat in a meeting and its pictures.
 *
 * Both pages stand on this; they differ only in what they draw.
 */
import { Api } from "./api"
import { Connection, type Status } from "./connection"
import { forget, type Credentials } from "./credentials"
import { Learning } from "./learning"
import { Meeting, type MeetingView } from "./meeting"
import { Pictures } from "./pictures"
import { conferencesByTime, EMPTY, reduce, type PageEvent, type State } from "./protocol"
import { SessionSet } from "./remembered"
import { flowing } from "./tiles"
import { Viewing } from "./viewing"
import { VERSION, type GatewayMessage } from "./wire"

/** Marks that the page was loaded anew because the gateway did not understand it. */
const RELOADED = "wuji.reloaded"

export class Station {
  state: State = EMPTY
  status: Status = { kind: "connecting" }
  meetingView: MeetingView
  readonly api: Api
  readonly connection: Connection
  readonly meeting: Meeting
  readonly pictures: Pictures
  /** Something to draw again; called at most once per frame. */
  onChange: () => void = () => {}
  /** Every message, at once, also while the page is hidden. */
  onMessage: (message: GatewayMessage) => void = () => {}
  /** Enter a running meeting without being asked, to watch and listen. */
  autoEnter = false
  /** The gateway does not understand this page, and loading it anew brought the same one. */
  refused = false
  private drawing = false
  private readonly viewing: Viewing
  private readonly learning = new Learning()
  /** Conferences a person left, or that refused us: nobody is led back into them. */
  private readonly left = new SessionSet("wuji.left")

  constructor(
    readonly credentials: Credentials,
    videoSlots: (tier: number) => number,
  ) {
    this.api = new Api(credentials.token)
    this.connection = new Connection(credentials.token)
    this.meeting = new Meeting(
      this.connection,
      () => videoSlots(this.state.welcome?.tier ?? 5),
      () => (document.hidden ? new Map() : flowing(this.state, this.meetingView)),
    )
    this.viewing = new Viewing(this.connection, () => this.meetingView, () => this.state.seat?.self ?? null)
    this.pictures = new Pictures((sha256) => this.api.blob(sha256))
    this.meetingView = this.meeting.view
    this.pictures.onChange = () => this.changed()
    this.connection.onMessage = (message) => this.receive(message)
    this.connection.onOutdated = () => this.outdated()
    this.connection.onStatus = (status) => this.follow(status)
    this.meeting.onChange = (view) => this.moved(view)
  }

  start(): void {
    this.connection.start()
  }

  apply(event: GatewayMessage | PageEvent): void {
    const seated = this.state.seat !== null
    this.state = reduce(this.state, event)
    if (event.type === "conference" && event.ended && seated && this.state.seat === null) this.meeting.ended()
    this.changed()
  }

  /** Apply what an answer tells; what was heard while it was on its way holds against it. */
  async learn(asked: Promise<GatewayMessage | PageEvent>): Promise<void> {
    const { answer, heard } = await this.learning.ask(asked)
    for (const event of [answer, ...heard]) this.apply(event)
  }

  join(conference: string): Promise<void> {
    this.left.delete(conference)
    return this.meeting.join(conference)
  }

  /** Whoever leaves wants to choose, or to be alone: none of the meetings that run now is entered by itself. */
  leave(): Promise<void> {
    for (const conference of this.state.conferences.keys()) this.left.add(conference)
    return this.meeting.leave()
  }

  /** Back to the sign-in page; the token is forgotten. */
  signOut(): void {
    this.connection.stop()
    forget()
    location.replace("/")
  }

  changed(): void {
    this.viewing.moved() // also while the page is hidden, when nothing is drawn
    if (this.drawing) return
    this.drawing = true
    requestAnimationFrame(() => {
      this.drawing = false
      this.enterByItself()
      this.onChange()
    })
  }

  private enterByItself(): void {
    if (!this.autoEnter || this.meetingView.conference !== null || this.status.kind !== "online") return
    const running = conferencesByTime(this.state).find((one) => !this.left.has(one.conference))
    if (running !== undefined) void this.meeting.join(running.conference)
  }

  /** Fetch the page of the gateway as it is now; once, for it may be the gateway that is old. */
  private outdated(): void {
    const before = sessionStorage.getItem(RELOADED)
    sessionStorage.setItem(RELOADED, String(VERSION))
    if (before !== String(VERSION)) location.reload()
    else this.refused = true
    this.changed()
  }

  private receive(message: GatewayMessage): void {
    this.learning.hear(message)
    this.apply(message)
    if (message.type === "welcome") {
      sessionStorage.removeItem(RELOADED)
      this.refused = false
      this.meeting.resume(this.state.seat?.self ?? null)
      void this.loadPlaces()
    }
    this.onMessage(message)
  }

  private follow(status: Status): void {
    this.status = status
    if (status.kind === "signed-out") this.signOut()
    this.changed()
  }

  private moved(view: MeetingView): void {
    if (view.conference === null && view.failure !== null && this.meetingView.conference !== null)
      this.left.add(this.meetingView.conference)
    this.meetingView = view
    if (view.conference === null && this.state.seat !== null) this.apply({ type: "left" })
    this.changed()
  }

  private async loadPlaces(): Promise<void> {
    try {
      await this.learn(this.api.nodes().then(({ nodes }) => ({ type: "places", places: nodes })))
    } catch {
      // the tree stays as it was; the next welcome asks again
    }
  }
}

/** Pictures at once, by tier of the gateway (1 province … 5 village). */
export function slotsOfTier(tier: number): number {
  if (tier >= 5) return 1
  return tier === 4 ? 4 : 9
}
