/** The terminal page: draws the station, and answers keys, clicks and arrivals. */
import { html, nothing, render, type TemplateResult } from "lit-html"
import { Acts } from "../acts"
import { Attention } from "../attention"
import { Chime, NewAlarms, NewOverdue } from "../chime"
import { Claims, IndexedStore } from "../claims"
import { load } from "../credentials"
import { explain, language, onLanguage, otherLanguage, setLanguage, t } from "../i18n"
import { outdated } from "../protocol"
import { SessionSet } from "../remembered"
import { DatabaseShelf, Reports } from "../reports"
import { playOnGesture } from "../sounds"
import { slotsOfTier, Station } from "../station"
import { inExercise } from "../tiles"
import type { DirectiveView, GatewayMessage, OverdueView } from "../wire"
import { cards, openReport, reportForm } from "./alarms"
import { lateness, overdue } from "./overdue"
import { circulars } from "./circulars"
import { front, list, spoken } from "./directives"
import { Duty } from "./duty"
import { listenToKeys } from "../keys"
import { meeting } from "./meetings"
import { FIRST_UI, type Page, type Ui } from "./page"
import { Receipts } from "./receipts"
import "./terminal.css"
import { keepAwake } from "./wake"

const SEND_AGAIN_MS = 10_000
const ON_DUTY = "wuji.on_duty"

class TerminalPage implements Page {
  ui: Ui = FIRST_UI
  readonly attention = new Attention()
  readonly duty: Duty
  readonly reports: Reports
  readonly acts: Acts
  private readonly shown = new Claims(new IndexedStore())
  private readonly newAlarms = new NewAlarms(new SessionSet("wuji.alarms"))
  private readonly newOverdue = new NewOverdue(new SessionSet("wuji.overdue"))
  private readonly chime = new Chime()
  /** The directive the keyboard was led to last. */
  private focused: string | null = null

  constructor(
    readonly station: Station,
    private readonly root: HTMLElement,
  ) {
    this.acts = new Acts(() => station.changed())
    this.ui = { ...FIRST_UI, signer: station.credentials.who.name }
    const { name, division } = station.credentials.who
    this.reports = new Reports(`${division} ${name}`, new DatabaseShelf(), (report, picture) =>
      station.api.raiseAlarm(report, picture),
    )
    this.reports.onChange = () => station.changed()
    this.reports.onRefused = (error) => this.complain(error)
    addEventListener("online", () => this.sendWaiting())
    setInterval(() => this.sendWaiting(), SEND_AGAIN_MS)
    const receipts = new Receipts((directive, stage) => station.connection.send({ type: "receipt", directive, stage }))
    this.duty = new Duty({
      report: (directive, stage) => receipts.add(directive, stage),
      forget: () => receipts.clear(),
      ring: (view, again) => void this.ring(view, again),
      silence: () => this.attention.stop(),
      rung: new SessionSet("wuji.rung"),
      aside: new SessionSet("wuji.aside"),
    })
    station.onChange = () => this.draw()
    if (sessionStorage.getItem(ON_DUTY) !== null) this.enterDuty() // a reload does not end the shift
    station.onMessage = (message) => this.heard(message)
    onLanguage(() => this.draw())
    document.addEventListener("visibilitychange", () => this.draw())
    for (const gesture of ["pointerdown", "keydown"])
      document.addEventListener(gesture, () => !this.attention.unlocked && this.attention.unlock())
  }

  /** Send reports that waited for the network; a browser that keeps nothing has none. */
  private sendWaiting(): void {
    this.reports.flush().catch(() => {})
  }

  set(part: Partial<Ui>): void {
    this.ui = { ...this.ui, ...part }
    this.duty.follow(this.station.state) // what one directive no longer holds up may ring
    this.station.changed()
  }

  say(text: string): void {
    this.set({ notice: { text, bad: false } })
  }

  complain(error: unknown): void {
    this.set({ notice: { text: explain(error), bad: true } })
  }

  enterDuty(): void {
    sessionStorage.setItem(ON_DUTY, "yes")
    this.attention.unlock()
    keepAwake()
    this.station.autoEnter = true
    this.set({ onDuty: true })
  }

  /** Until somebody is on duty the gate stands in front, and only says what waits. */
  private inFront(): DirectiveView | null {
    return this.ui.onDuty ? this.duty.front(this.station.state) : null
  }

  draw(): void {
    const view = this.inFront()
    render(shell(this, view), this.root)
    if (view !== null) this.afterPaint(view)
    if (view !== null && view.directive !== this.focused) this.root.querySelector<HTMLElement>("#front-title")?.focus()
    this.focused = view?.directive ?? null
  }

  private heard(message: GatewayMessage): void {
    if (message.type === "welcome") {
      this.duty.welcomed()
      this.sendWaiting()
    }
    if (message.type === "ring") this.duty.again(message.directive)
    this.duty.follow(this.station.state)
    if (message.type === "overdue") return this.overdue(message)
    if (!this.newAlarms.heard(message) || message.type !== "alarm") return
    if (!this.attention.ringing) this.chime.strike()
    if (message.picture === null) this.say(t("alarm.arrived", { place: message.place_name, text: message.text }))
  }

  /** Something of ours, or of a place we answer for, has run out: ring until somebody looks, unless a directive rings. */
  private overdue(view: OverdueView): void {
    if (this.ui.overdue === view.overdue && (!view.open || view.acknowledged_by !== null)) this.hushOverdue()
    if (!this.newOverdue.heard(view)) return
    const busy = this.attention.ringing && this.ui.overdue === null
    if (busy) return this.chime.strike()
    this.attention.start(view.urgency, lateness(view, this.station.credentials.who.division))
    this.set({ overdue: view.overdue })
  }

  /** Somebody has looked, or it was done: no more noise about it. */
  hushOverdue(): void {
    if (this.ui.overdue === null) return
    this.attention.stop()
    this.set({ overdue: null })
  }

  /** Of all tabs of this browser, one rings, once; when the gateway's clock asks again, whoever is there. */
  private async ring(view: DirectiveView, again: boolean): Promise<void> {
    const division = this.station.credentials.who.division
    if (!again && !(await this.shown.claim(`${division} ${view.directive}`))) {
      this.duty.confirmed(view.directive)
      return this.duty.follow(this.station.state)
    }
    if (!this.duty.rings(view.directive)) return
    this.attention.start(view.urgency, spoken(view))
    this.set({ expanded: false, notice: null, overdue: null })
  }

  /** Shown means painted on a page somebody can see: two frames later, and only while it is visible. */
  private afterPaint(view: DirectiveView): void {
    const current = (): boolean => this.inFront()?.directive === view.directive
    const seen = (): void => {
      if (document.visibilityState === "visible" && current()) this.duty.painted(view)
    }
    requestAnimationFrame(() => requestAnimationFrame(seen))
  }
}

function shell(page: TerminalPage, view: DirectiveView | null): TemplateResult {
  const { ui, station } = page
  const waiting = view ?? page.duty.front(station.state)
  return html`
    ${banner(page)}
    <div class="live" aria-live="assertive" data-testid="live">
      ${waiting === null ? "" : arrived(waiting)}
    </div>
    ${inExercise(station.state, station.meetingView) ? html`<div class="watermark" aria-hidden="true" data-testid="watermark">${t("app.exercise")}</div>` : nothing}
    <div ?inert=${view !== null}>
      ${ui.onDuty ? desk(page) : gate(page, waiting)} ${ui.report === null ? nothing : reportForm(page, ui.report)}
    </div>
    ${view === null ? nothing : front(page, view)}
  `
}

function arrived(view: DirectiveView): string {
  return t("directive.arrived", { urgency: t(`urgency.${view.urgency}`), title: view.title })
}

/** Before the first click no browser makes a sound, so somebody has to go on duty. */
function gate(page: TerminalPage, waiting: DirectiveView | null): TemplateResult {
  const { who, division_name } = page.station.credentials
  return html`<main class="gate">
    <h1>${t("duty.title", { division: division_name })}</h1>
    <p>${t("duty.hello", { name: who.name, division: division_name })}</p>
    ${waiting === null ? nothing : html`<p class="waiting tag ${waiting.urgency}" data-testid="gate-waiting">${arrived(waiting)}</p>`}
    <button class="primary huge" @click=${() => page.enterDuty()} data-testid="enter-duty">${t("duty.enter")}</button>
    <p class="empty">${t("duty.hint")}</p>
  </main>`
}

function desk(page: TerminalPage): TemplateResult {
  const { station, ui } = page
  return html`<header>
      <strong data-testid="division">${station.credentials.division_name}</strong>
      <span class="line ${station.status.kind}" data-testid="connection" data-status=${station.status.kind}>${station.status.kind === "online" ? t("line.online") : t("line.connecting")}</span>
      <span class="who">${station.credentials.who.name}</span>
      <button class="plain" @click=${otherLanguage} data-testid="language">${t("app.language")}</button>
      <button class="plain" @click=${() => station.signOut()} data-testid="sign-out">${t("app.sign_out")}</button>
    </header>
    <main class="desk">
      ${meeting(page)}
      <div class="side">
        <button class="danger huge" @click=${() => openReport(page)} data-testid="alarm-open">${t("alarm.report")}</button>
        ${page.reports.count === 0 ? nothing : html`<p class="waiting" data-testid="reports-waiting">${t("alarm.waiting", { count: page.reports.count })}</p>`}
        <p class="notice ${ui.notice?.bad ? "bad" : ""}" role="status" data-testid="notice">${ui.notice?.text ?? ""}</p>
        ${overdue(page)} ${list(page)} ${circulars(page)} ${cards(page)}
      </div>
    </main>`
}

function banner(page: TerminalPage): TemplateResult | typeof nothing {
  const { status } = page.station
  if (page.station.refused || outdated(page.station.state))
    return html`<p class="banner" role="alert" data-testid="outdated">
      ${t("line.outdated")} <button class="plain" @click=${() => location.reload()}>${t("line.reload")}</button>
    </p>`
  if (status.kind !== "waiting") return nothing
  const seconds = Math.max(1, Math.ceil((status.retryAt - performance.now()) / 1000))
  return html`<p class="banner" role="alert" data-testid="reconnecting">${t("line.waiting", { seconds })}</p>`
}

function main(): void {
  setLanguage(language())
  const credentials = load()
  if (credentials === null) {
    location.replace("/")
    return
  }
  document.title = t("duty.title", { division: credentials.division_name })
  const station = new Station(credentials, slotsOfTier)
  const page = new TerminalPage(station, document.querySelector<HTMLElement>("#app")!)
  listenToKeys(station.meeting)
  playOnGesture()
  setInterval(() => station.status.kind === "waiting" && station.changed(), 1_000) // the countdown
  page.draw()
  station.start()
}

main()
