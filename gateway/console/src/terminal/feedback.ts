/** The feedback form of a directive: the fields it asks for, or two numbers and a note where it asks for none. */
import { html, nothing, type TemplateResult } from "lit-html"
import { language, t } from "../i18n"
import type { DirectiveView, FieldSpec } from "../wire"
import type { Page } from "./page"

export function feedback(page: Page, view: DirectiveView): TemplateResult {
  if (page.ui.feedback !== view.directive)
    return html`<button @click=${() => page.set({ feedback: view.directive })} data-testid="feedback-open">
      ${t("directive.feedback.title")}
    </button>`
  return html`<form class="feedback" @submit=${(event: Event) => void send(page, view, event)} data-testid="feedback-form">
    ${view.fields.length === 0 ? usual() : view.fields.map((field) => one(view, field))}
    <label>${t("directive.feedback.note")}<input name="note" maxlength="200" /></label>
    <button type="submit" ?disabled=${page.acts.has(act(view))} data-testid="feedback-submit">${t("directive.feedback.submit")}</button>
  </form>`
}

/** What people call a field, in the language of the page. */
export function labelOf(field: FieldSpec): string {
  const own = language() === "en" ? field.label_en || field.label : field.label
  return `${own || field.name}${field.unit === "" ? "" : `（${field.unit}）`}`
}

function usual(): TemplateResult {
  return html`<label>${t("directive.feedback.required")}<input name="required" type="number" inputmode="numeric" min="0" max="10000000" /></label>
    <label>${t("directive.feedback.moved")}<input name="moved" type="number" inputmode="numeric" min="0" max="10000000" /></label>`
}

function one(view: DirectiveView, field: FieldSpec): TemplateResult {
  const before = view.mine?.answers[field.name] ?? view.mine?.values[field.name] ?? ""
  return html`<label>${labelOf(field)}${input(field, String(before))}</label>`
}

function input(field: FieldSpec, before: string): TemplateResult {
  const name = `field.${field.name}`
  switch (field.kind) {
    case "int":
      return html`<input name=${name} type="number" inputmode="numeric" step="1" min=${field.low} max=${field.high} ?required=${field.required} .value=${before} />`
    case "choice":
      return html`<select name=${name} ?required=${field.required}>
        ${field.required ? nothing : html`<option value=""></option>`}
        ${field.choices.map((choice) => html`<option value=${choice} ?selected=${choice === before}>${choice}</option>`)}
      </select>`
    case "text":
      return html`<input name=${name} maxlength="200" ?required=${field.required} .value=${before} />`
  }
}

const act = (view: DirectiveView): string => `feedback ${view.directive}`

async function send(page: Page, view: DirectiveView, event: Event): Promise<void> {
  event.preventDefault()
  const form = new FormData(event.target as HTMLFormElement)
  const { values, answers } = read(view, (name) => String(form.get(name) ?? "").trim())
  try {
    await page.acts.once(act(view), async () => {
      await page.station.api.feedback(view.directive, values, String(form.get("note") ?? ""), answers)
      if (page.ui.feedback === view.directive) page.set({ feedback: null }) // another form may be open by now
      page.say(t("directive.feedback.done"))
    })
  } catch (error) {
    page.complain(error)
  }
}

/** Numbers and words as the gateway takes them; what was left empty is left out. */
export function read(
  view: DirectiveView,
  said: (input: string) => string,
): { values: Record<string, number>; answers: Record<string, string> } {
  const values: Record<string, number> = {}
  const answers: Record<string, string> = {}
  if (view.fields.length === 0) {
    // names of the usual numbers are words of the county's forms, in Chinese whatever the page's language
    for (const [field, name] of [["required", "应转"], ["moved", "已转"]] as const)
      if (said(field) !== "") values[name] = Number.parseInt(said(field), 10)
  }
  for (const field of view.fields) {
    const text = said(`field.${field.name}`)
    if (text === "") continue
    if (field.kind === "int") values[field.name] = Number.parseInt(text, 10)
    else answers[field.name] = text
  }
  return { values, answers }
}
