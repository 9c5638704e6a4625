/** Alarms on a terminal: raising one with a photo, and the cards of those around. */
import { ApiError, type AlarmReport } from "../api"
import { html, nothing, type TemplateResult } from "lit-html"
import { repeat } from "lit-html/directives/repeat.js"
import { Press } from "../clickid"
import { t, tOr } from "../i18n"
import { fromFile, fromVideo } from "../photo"
import { alarmsByTime, callOverdue, lineAbove, nextState, settled } from "../protocol"
import { isPassing } from "../reports"
import { beijing } from "../time"
import type { AlarmView, UnitState } from "../wire"
import { explain } from "../i18n"
import { inExercise } from "../tiles"
import type { CallForm, Page, Report } from "./page"

const KINDS = ["flood", "fire", "geology", "traffic", "person", "other"] as const
const POSITION_MS = 20_000
const EMPTY_REPORT: Omit<Report, "press"> = { kind: "flood", text: "", picture: null, preview: null, attaching: null, position: null, sending: false, problem: null }

export function openReport(page: Page): void {
  const press = new Press()
  page.set({ report: { ...EMPTY_REPORT, press }, notice: null })
  locate(page, press)
}

/** Change the form that `press` belongs to, as it is now; a form that was closed meanwhile stays closed. */
function amend(page: Page, press: Press, part: Partial<Report>): void {
  const report = page.ui.report
  if (report?.press === press) page.set({ report: { ...report, ...part } })
}

/** Add where the phone is to the open form, if it may be known. */
function locate(page: Page, press: Press): void {
  navigator.geolocation?.getCurrentPosition(
    ({ coords: { longitude, latitude, accuracy } }) => amend(page, press, { position: { longitude, latitude, accuracy } }),
    () => {}, // the position of the place is taken instead
    { enableHighAccuracy: true, timeout: POSITION_MS, maximumAge: POSITION_MS },
  )
}

export function cards(page: Page): TemplateResult {
  const views = alarmsByTime(page.station.state).slice(0, 20)
  return html`<section class="card alarms" aria-label=${t("alarm.title")}>
    <h2>${t("alarm.title")}</h2>
    ${views.length === 0 ? html`<p class="empty">${t("alarm.none")}</p>` : nothing}
    <ul>
      ${repeat(
        views,
        (view) => view.alarm,
        (view) => card(page, view),
      )}
    </ul>
  </section>`
}

function card(page: Page, view: AlarmView): TemplateResult {
  const picture = page.station.pictures.url(view.thumbnail)
  return html`<li class="alarm ${view.urgency}" data-testid="alarm-card" data-alarm=${view.alarm} data-place=${view.place}>
    ${view.thumbnail === null ? nothing : thumbnail(picture)}
    <div>
      <p class="directive-head">
        <strong>${view.place_name}</strong>
        ${view.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
        ${view.count > 1 ? html`<span class="many" data-testid="alarm-many">${t("alarm.many", { count: view.count, sources: view.sources })}</span>` : nothing}
        <span class="when">${beijing(view.raised_at)}</span>
      </p>
      <p>${tOr(`alarm.kind.${view.kind}`, view.kind)}: ${view.text}</p>
      <p class="stage">${t(`alarm.state.${view.state}`)}</p>
      ${mine(page, view)} ${calls(page, view)}
    </div>
  </li>`
}

/** Units of this place that were sent: what they say next. */
function mine(page: Page, view: AlarmView): TemplateResult[] {
  const here = view.dispatches.filter((one) => one.place === page.station.credentials.who.division)
  return here.map((one) => {
    const next = nextState(one.state)
    return html`<p class="unit" data-testid="unit" data-unit=${one.unit}>
      <strong>${t(one.lead ? "unit.lead" : "unit.assist")}</strong> ${one.name}: ${t(`unit.state.${one.state ?? "called"}`)}
      ${next === null
        ? nothing
        : html`<button class="primary" ?disabled=${page.acts.has(`unit ${one.unit}`)} @click=${() => void say(page, view, one.unit, next)} data-testid=${`unit-${next}`}>${t(`unit.do.${next}`)}</button>`}
    </p>`
  })
}

/** Departments above that were called, and a call of this place's own. */
function calls(page: Page, view: AlarmView): TemplateResult {
  const now = Date.now()
  const above = lineAbove(page.station.state, page.station.credentials.who.division)
  const form = page.ui.call?.alarm === view.alarm ? page.ui.call : null
  const change = (part: Partial<CallForm>): void => amendCall(page, view.alarm, part)
  return html`${view.calls.map(
    (call) => html`<p class="call ${callOverdue(call, now) ? "bad" : ""}" data-testid="call">
      ${t("call.to", { name: call.to_name })} ${call.note}
      ${call.answered_at !== null ? `→ ${call.answer}` : callOverdue(call, now) ? t("call.overdue") : t("call.due", { time: beijing(call.deadline) })}
    </p>`,
  )}
  ${settled(view) || above.length === 0
    ? nothing
    : form === null
      ? html`<button class="plain" @click=${() => page.set({ call: { alarm: view.alarm, to: above[0]!.code, note: "" } })} data-testid="call-open">${t("call.send")}</button>`
      : html`<form ?inert=${page.acts.has(`call ${view.alarm}`)} @submit=${(event: Event) => void callUp(page, view.alarm, event)}>
          <select aria-label=${t("call.whom")} @change=${(event: Event) => change({ to: (event.target as HTMLSelectElement).value })} data-testid="call-whom">
            ${above.map((place) => html`<option value=${place.code} ?selected=${place.code === form.to}>${place.name}</option>`)}
          </select>
          <input required maxlength="200" placeholder=${t("call.note")} aria-label=${t("call.note")} .value=${form.note} @input=${(event: Event) => change({ note: (event.target as HTMLInputElement).value })} data-testid="call-note" />
          <button type="submit" class="primary" data-testid="call-send">${t("call.send")}</button>
        </form>`}`
}

/** Change the open form as it is now; one that was closed or belongs to another alarm stays as it is. */
function amendCall(page: Page, alarm: string, part: Partial<CallForm>): void {
  const { call } = page.ui
  if (call?.alarm === alarm) page.set({ call: { ...call, ...part } })
}

async function callUp(page: Page, alarm: string, event: Event): Promise<void> {
  event.preventDefault()
  const { call } = page.ui
  if (call?.alarm !== alarm) return
  try {
    await page.acts.once(`call ${alarm}`, () => page.station.api.callUp(alarm, call.to, "", call.note.trim()))
    if (page.ui.call?.alarm === alarm) page.set({ call: null })
  } catch (error) {
    page.complain(error)
  }
}

async function say(page: Page, view: AlarmView, unit: string, state: UnitState): Promise<void> {
  try {
    await page.acts.once(`unit ${unit}`, () => page.station.api.reportUnit(view.alarm, unit, state, ""))
  } catch (error) {
    page.complain(error)
  }
}

function thumbnail(url: string | null): TemplateResult {
  return url === null
    ? html`<p class="no-picture">${t("alarm.picture.wait")}</p>`
    : html`<img src=${url} alt=${t("alarm.picture")} data-testid="alarm-picture" />`
}

/** The form; what was typed stays when sending fails. */
export function reportForm(page: Page, report: Report): TemplateResult {
  const change = (part: Partial<Report>): void => amend(page, report.press, part)
  return html`<section class="sheet" role="dialog" aria-modal="true" aria-label=${t("alarm.report")} data-testid="alarm-form">
    <form @submit=${(event: Event) => void submit(page, report, event)}>
      <h2>${t("alarm.report")}</h2>
      <div class="kinds" role="radiogroup" aria-label=${t("alarm.kind")} ?inert=${report.sending}>
        ${KINDS.map(
          (kind) => html`<button
            type="button"
            role="radio"
            aria-checked=${report.kind === kind}
            class=${report.kind === kind ? "primary" : ""}
            @click=${() => change({ kind })}
          >
            ${t(`alarm.kind.${kind}`)}
          </button>`,
        )}
      </div>
      <label ?inert=${report.sending}
        >${t("alarm.text")}<textarea
          required
          maxlength="300"
          rows="3"
          .value=${report.text}
          @input=${(event: Event) => change({ text: (event.target as HTMLTextAreaElement).value })}
          data-testid="alarm-text"
        ></textarea>
      </label>
      <p class="empty" data-testid="alarm-position">
        ${report.position === null ? t("alarm.position.place") : t("alarm.position.phone", { metres: Math.round(report.position.accuracy) })}
      </p>
      ${report.preview === null ? nothing : html`<img class="chosen" src=${report.preview} alt=${t("alarm.picture")} />`}
      <div class="row" ?inert=${report.sending}>
        <label class="file"
          >${t("alarm.photo")}<input
            type="file"
            accept="image/*"
            capture="environment"
            @change=${(event: Event) => choose(page, report, event)}
            data-testid="alarm-photo"
        /></label>
        ${page.station.meetingView.preview === null
          ? nothing
          : html`<button type="button" @click=${() => fromCamera(page, report)}>${t("alarm.from_camera")}</button>`}
      </div>
      ${report.problem === null ? nothing : html`<p class="bad" role="alert" data-testid="alarm-error">${report.problem}</p>`}
      <div class="row">
        <button type="button" @click=${() => close(page, report.press)}>${t("alarm.cancel")}</button>
        <button type="submit" class="danger" ?disabled=${report.sending} data-testid="alarm-submit">
          ${report.sending ? t("alarm.sending") : t("alarm.submit")}
        </button>
      </div>
    </form>
  </section>`
}

async function submit(page: Page, { press }: Report, event: Event): Promise<void> {
  event.preventDefault()
  amend(page, press, { sending: true, problem: null })
  const current = (): Report | null => (page.ui.report?.press === press ? page.ui.report : null)
  while (current()?.attaching) await current()?.attaching // a photo that was chosen goes with the alarm, however slow the phone
  const report = current()
  if (report === null) return // closed meanwhile
  if (report.problem !== null) return amend(page, press, { sending: false }) // the photo was none: they choose
  const { kind, text, picture, position } = report
  const exercise = inExercise(page.station.state, page.station.meetingView)
  const where = { longitude: position?.longitude ?? null, latitude: position?.latitude ?? null, datum: "wgs84" } as const
  const said = { kind, text: text.trim(), urgency: "P1", exercise, ...where } as const
  const content = JSON.stringify([said, picture?.size])
  try {
    await press.once(content, (event) => page.station.api.raiseAlarm({ ...said, event }, picture))
    close(page, press)
    page.say(t("alarm.sent"))
  } catch (error) {
    if (error instanceof ApiError && isPassing(error) && (await kept(page, { ...said, event: press.idFor(content) }, picture))) {
      close(page, press)
      page.say(t("alarm.kept"))
    } else amend(page, press, { sending: false, problem: explain(error) })
  }
}

/** Keep what could not be sent on the phone; it goes out by itself. Returns whether there was room. */
async function kept(page: Page, report: AlarmReport, picture: Blob | null): Promise<boolean> {
  try {
    await page.reports.add(report, picture, Date.now())
    return true
  } catch {
    return false // no room, or a browser that keeps nothing: the form stays
  }
}

function choose(page: Page, report: Report, event: Event): void {
  const file = (event.target as HTMLInputElement).files?.[0]
  if (file !== undefined) attach(page, report, fromFile(file))
}

function fromCamera(page: Page, report: Report): void {
  const video = document.querySelector<HTMLVideoElement>("video.preview")
  if (video !== null) attach(page, report, fromVideo(video))
}

/** Put a picture into the form when it is ready; the last one chosen counts. */
function attach(page: Page, { press }: Report, taken: Promise<Blob>): void {
  const current = (): boolean => page.ui.report?.attaching === attaching
  const attaching: Promise<void> = taken.then(
    (picture) => {
      if (!current()) return
      forget(page.ui.report)
      amend(page, press, { picture, preview: URL.createObjectURL(picture), attaching: null, problem: null })
    },
    () => {
      if (current()) amend(page, press, { attaching: null, problem: t("alarm.photo.bad") })
    },
  )
  amend(page, press, { attaching })
}

function forget(report: Report | null): void {
  if (report !== null && report.preview !== null) URL.revokeObjectURL(report.preview)
}

function close(page: Page, press: Press): void {
  if (page.ui.report?.press !== press) return
  forget(page.ui.report)
  page.set({ report: null })
}
