/** What the components of the console share: the station's state as Vue sees it, and what is chosen on the screen. */
import { ElMessage } from "element-plus"
import { computed, inject, ref, shallowRef, type InjectionKey } from "vue"
import { Chime, NewAlarms, NewOverdue, OverdueBell } from "../chime"
import { explain, language, onLanguage, t as translate, tOr as translateOr, type TextKey } from "../i18n"
import { SessionSet } from "../remembered"
import { allBelow, plant } from "../scope"
import type { Station } from "../station"
import type { Beginning } from "./composing"

export type Panel = "issue" | "convene" | "circulars" | "roster" | "sources" | null

const BELOW_HEADER = 58

export class Desk {
  readonly state
  readonly status
  readonly meeting
  readonly panel = ref<Panel>(null)
  readonly ticked = shallowRef<ReadonlySet<string>>(new Set())
  readonly directive = ref<string | null>(null)
  /** What the form of a directive began with; null: no form is open. It stays while another panel is in front. */
  readonly composing = shallowRef<Beginning | null>(null)
  readonly alarm = ref<string | null>(null)
  /** Recipients of the directive that was issued last from this page. */
  readonly issued = ref<number | null>(null)
  /** The last sentence said to the person, for the status line and for screen readers. */
  readonly notice = ref("")
  /** UTC milliseconds by the gateway's clock, moved once a second. */
  readonly now = ref(Date.now())
  readonly tree
  readonly self
  readonly below
  /** Issues, convenes, handles alarms, and speaks in a meeting; the others watch and read. */
  readonly mayCommand
  readonly mayAudit
  readonly mayAdminister
  private readonly newAlarms = new NewAlarms(new SessionSet("wuji.alarms"))
  private readonly overdueBell = new OverdueBell(new NewOverdue(new SessionSet("wuji.overdue")))
  private readonly chime = new Chime()
  private readonly frame = ref(0)
  private ahead = 0
  private readonly language = ref(language())

  constructor(readonly station: Station) {
    this.state = shallowRef(station.state)
    this.status = shallowRef(station.status)
    this.meeting = shallowRef(station.meetingView)
    this.tree = computed(() => plant(this.state.value.places))
    this.self = computed(() => this.state.value.welcome?.node ?? station.credentials.who.division)
    this.below = computed(() => allBelow(this.tree.value, this.self.value))
    const { role } = station.credentials.who
    this.mayCommand = role === "commander"
    this.mayAudit = role === "auditor" || role === "admin"
    this.mayAdminister = role === "admin"
    station.onChange = () => this.follow()
    station.onMessage = (message) => {
      if (this.newAlarms.heard(message) || this.overdueBell.heard(message)) this.chime.strike()
      if (message.type !== "welcome") return
      this.ahead = message.now - Date.now()
      void this.load()
    }
    setInterval(() => (this.now.value = Date.now() + this.ahead), 1_000)
    onLanguage(() => (this.language.value = language()))
  }

  /** Like `t`, and drawn again when the language changes. */
  readonly t = (key: TextKey, values: Readonly<Record<string, string | number>> = {}): string => {
    void this.language.value
    return translate(key, values)
  }

  readonly tOr = (key: string, fallback: string): string => {
    void this.language.value
    return translateOr(key, fallback)
  }

  /** Whether an order of `issuer` is ours to end or to countersign: issued here, or below us. The gateway decides. */
  commands(issuer: string): boolean {
    return this.mayCommand && (issuer === this.station.credentials.who.division || this.below.value.has(issuer))
  }

  /** Address of a picture, or null while it is on its way. */
  picture(sha256: string | null): string | null {
    void this.frame.value
    return this.station.pictures.url(sha256)
  }

  /** Captions of a dialog's two buttons. */
  buttons(): { confirmButtonText: string; cancelButtonText: string } {
    return { confirmButtonText: this.t("common.ok"), cancelButtonText: this.t("common.cancel") }
  }

  /** Open the form of a directive; without `from` the one that is open already, or an empty one. */
  compose(from?: Beginning): void {
    this.composing.value = from ?? this.composing.value ?? { kind: "blank" }
    this.panel.value = "issue"
  }

  say(text: string): void {
    this.notice.value = text
    ElMessage({ message: text, type: "success", offset: BELOW_HEADER })
  }

  complain(error: unknown): void {
    this.warn(explain(error))
  }

  warn(text: string): void {
    this.notice.value = text
    ElMessage({ message: this.notice.value, type: "error", duration: 8_000, showClose: true, offset: BELOW_HEADER })
  }

  private follow(): void {
    this.state.value = this.station.state
    this.status.value = this.station.status
    this.meeting.value = this.station.meetingView
    this.frame.value++
  }

  private async load(): Promise<void> {
    const { api } = this.station
    try {
      await Promise.all([
        this.station.learn(api.directives().then((directives) => ({ type: "directives", directives }))),
        this.station.learn(api.alarms().then((alarms) => ({ type: "alarms", alarms }))),
      ])
    } catch (error) {
      this.complain(error)
    }
  }
}

export const DESK: InjectionKey<Desk> = Symbol("desk")

export function useDesk(): Desk {
  const desk = inject(DESK)
  if (desk === undefined) throw new Error("a component outside of the console")
  return desk
}
