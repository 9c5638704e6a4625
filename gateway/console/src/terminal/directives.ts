/** Directives on a terminal: the one that covers the screen, and the list of all of them. */
import { html, nothing, type TemplateResult } from "lit-html"
import { repeat } from "lit-html/directives/repeat.js"
import { t, tOr } from "../i18n"
import { directivesByUrgency, onDuty, reached, unsigned } from "../protocol"
import { beijing } from "../time"
import type { Attachment, DirectiveView } from "../wire"
import { feedback } from "./feedback"
import type { Page } from "./page"

/** Full screen in the colour of its urgency, until it is signed or set aside. */
export function front(page: Page, view: DirectiveView): TemplateResult {
  const { ui } = page
  const more = unsigned(page.station.state).length - 1
  return html`<section
    class="front ${view.urgency}"
    role="alertdialog"
    aria-modal="true"
    aria-labelledby="front-title"
    data-testid="directive-overlay"
    data-directive=${view.directive}
  >
    ${view.exercise ? html`<div class="watermark" aria-hidden="true">${t("app.exercise")}</div>` : nothing}
    <div class="front-body">
      <p class="front-urgency">
        <strong>${t(`urgency.${view.urgency}`)}</strong>
        ${view.exercise ? html`<span class="exercise" data-testid="directive-exercise">${t("app.exercise")}</span>` : nothing}
        <span>${beijing(view.issued_at)}</span>
      </p>
      <h1 id="front-title" tabindex="-1" data-testid="directive-title">${view.title}</h1>
      <p class="front-text ${ui.expanded ? "" : "two-lines"}" data-testid="directive-text">${view.text}</p>
      ${annotations(view)} ${papers(page, view)}
      <p class="front-from">${from(view)}</p>
      <div class="row">
        <button class="ghost" @click=${() => page.set({ expanded: !ui.expanded })} data-testid="directive-more">
          ${ui.expanded ? t("directive.less") : t("directive.more")}
        </button>
        <button class="ghost" @click=${() => silence(page, view)} data-testid="directive-silence">${t("directive.silence")}</button>
        <button class="ghost" @click=${() => page.attention.read(spoken(view))} data-testid="directive-speak">${t("directive.speak")}</button>
      </div>
      <form class="sign" @submit=${(event: Event) => void sign(page, view, event)}>
        <label>${signerLabel(view)}${signerInput(page, view)}</label>
        <button type="submit" class="sign-button" ?disabled=${signing(page, view)} data-testid="directive-sign">
          ${signing(page, view) ? t("directive.signing") : t("directive.sign")}
        </button>
      </form>
      <button class="ghost later" @click=${() => setAside(page, view)} data-testid="directive-later">${t("directive.later")}</button>
      ${more > 0 ? html`<p class="front-more">${t("directive.waiting", { count: more })}</p>` : nothing}
      ${page.attention.unlocked ? nothing : html`<p class="front-more">${t("duty.sound_off")}</p>`}
      ${ui.notice?.bad ? html`<p class="front-error" role="alert" data-testid="directive-error">${ui.notice.text}</p>` : nothing}
    </div>
  </section>`
}

export function list(page: Page): TemplateResult {
  const views = directivesByUrgency(page.station.state).slice(0, 30)
  return html`<section class="card directives" aria-label=${t("directive.mine")}>
    <h2>${t("directive.mine")}</h2>
    ${views.length === 0 ? html`<p class="empty">${t("directive.none")}</p>` : nothing}
    <ul>
      ${repeat(
        views,
        (view) => view.directive,
        (view) => row(page, view),
      )}
    </ul>
  </section>`
}

/** What is read aloud and told to screen readers. */
export function spoken(view: DirectiveView): string {
  const exercise = view.exercise ? `${t("app.exercise")}。` : ""
  return `${exercise}${t(`urgency.${view.urgency}`)}。${view.title}。${view.text}`
}

function row(page: Page, view: DirectiveView): TemplateResult {
  const signed = view.mine !== null && reached(view.mine.stage, "signed")
  const open = view.state === "issued" && view.mine !== null
  return html`<li class="directive ${view.urgency}" data-testid="directive-row" data-directive=${view.directive}>
    <p class="directive-head">
      <strong class="tag ${view.urgency}">${t(`urgency.${view.urgency}`)}</strong>
      ${view.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
      <span class="when">${beijing(view.issued_at)}</span>
      <span class="stage" data-testid="directive-stage">${standing(view)}</span>
    </p>
    <p class="directive-title">${view.title}</p>
    <details>
      <summary>${t("common.details")}</summary>
      <p class="directive-text">${view.text}</p>
      ${annotations(view)} ${papers(page, view)}
      <p class="when">${from(view)}</p>
    </details>
    ${open && !signed
      ? html`<form class="sign" @submit=${(event: Event) => void sign(page, view, event)}>
          <label>${signerLabel(view)}${signerInput(page, view)}</label>
          <button type="submit" ?disabled=${signing(page, view)} data-testid="row-sign">${t("directive.sign")}</button>
        </form>`
      : nothing}
    ${open && signed ? feedback(page, view) : nothing}
  </li>`
}

/** What the tiers between added for us. */
function annotations(view: DirectiveView): TemplateResult[] {
  return view.annotations.map(
    (one) => html`<p class="annotation" data-testid="annotation"><strong>${t("directive.annotation", { name: one.division_name })}</strong> ${one.note}</p>`,
  )
}

function standing(view: DirectiveView): string {
  if (view.state === "superseded" && view.successor_number !== "") return t("directive.superseded_by", { number: view.successor_number })
  if (view.state !== "issued") return tOr(`directive.state.${view.state}`, view.state)
  if (view.mine?.signed_at) return `${t("directive.signed")} ${view.mine.signed_by} ${beijing(view.mine.signed_at)}`
  if (view.copied) return t("directive.copied")
  return view.mine === null ? "" : t("directive.unsigned")
}

function from(view: DirectiveView): string {
  return t("directive.from", { issuer: view.issuer_name, name: view.issuer.name })
}

/** Where a post is addressed, who is on duty in it signs. */
function signerLabel(view: DirectiveView): string {
  const post = view.mine?.post ?? ""
  return post === "" ? t("directive.signer") : t("directive.signer.post", { post, person: onDuty(view.mine).join("、") })
}

/** The document's number, what it takes the place of, other languages, the voice and the files. */
function papers(page: Page, view: DirectiveView): TemplateResult {
  return html`${view.number === "" ? nothing : html`<p class="when" data-testid="directive-number">${view.number}</p>`}
    ${view.supersedes === null ? nothing : html`<p class="when" data-testid="directive-supersedes">${t("directive.supersedes", { number: view.supersedes_number })}</p>`}
    ${Object.entries(view.texts).map(([name, words]) => html`<p class="directive-text"><strong>${name}</strong> ${words}</p>`)}
    ${view.attachments.map((file) => attached(page, view, file))}`
}

function attached(page: Page, view: DirectiveView, file: Attachment): TemplateResult {
  const url = page.station.pictures.url(file.sha256)
  if (url === null) return html`<p class="when">${file.name} ${t("alarm.picture.wait")}</p>`
  if (file.sha256 === view.voice) return html`<audio controls preload="auto" src=${url} data-testid="directive-voice"></audio>`
  return html`<p><a href=${url} target="_blank" rel="noopener" download=${file.name} data-testid="directive-file">${file.name}</a></p>`
}

/** Of several on duty whoever signs says which of them it is; anybody else would be refused. */
function signerInput(page: Page, view: DirectiveView): TemplateResult {
  const people = onDuty(view.mine)
  return people.length > 1 ? signerChoice(page, people) : signerName(page, view)
}

function signerChoice(page: Page, people: readonly string[]): TemplateResult {
  return html`<select
    name="signer"
    required
    @change=${(event: Event) => page.set({ signer: (event.target as HTMLSelectElement).value })}
    data-testid="sign-name"
  >
    ${["", ...people].map((person) => html`<option value=${person} .selected=${person === page.ui.signer}>${person}</option>`)}
  </select>`
}

function signerName(page: Page, view: DirectiveView): TemplateResult {
  return html`<input
    name="signer"
    required
    maxlength="64"
    autocomplete="name"
    .value=${signer(page, view)}
    @input=${(event: Event) => page.set({ signer: (event.target as HTMLInputElement).value })}
    data-testid="sign-name"
  />`
}

function silence(page: Page, view: DirectiveView): void {
  page.duty.confirmed(view.directive)
  page.set({})
}

function setAside(page: Page, view: DirectiveView): void {
  page.duty.setAside(view.directive)
  page.set({ expanded: false, notice: null })
}

function signer(page: Page, view: DirectiveView): string {
  return view.mine?.on_duty || page.ui.signer
}

/** What stands in the form, also where the roster's name was written over. */
function signerIn(event: Event): string {
  return String(new FormData(event.target as HTMLFormElement).get("signer") ?? "").trim()
}

const act = (view: DirectiveView): string => `sign ${view.directive}`
const signing = (page: Page, view: DirectiveView): boolean => page.acts.has(act(view))

async function sign(page: Page, view: DirectiveView, event: Event): Promise<void> {
  event.preventDefault()
  const name = signerIn(event)
  page.duty.confirmed(view.directive)
  page.set({ notice: null })
  try {
    await page.acts.once(act(view), () => page.station.api.sign(view.directive, name).then(() => signed(page, view)))
  } catch (error) {
    page.complain(error)
  }
}

/** The next one begins with its first lines; one that is being read meanwhile stays as it is. */
function signed(page: Page, view: DirectiveView): void {
  if (page.duty.front(page.station.state)?.directive === view.directive) page.set({ expanded: false })
  page.duty.setAside(view.directive)
  page.say(`${t("directive.signed")}: ${view.title}`)
}
