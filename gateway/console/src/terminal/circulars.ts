/** Circulars on a terminal: what places beside ours tell us; read with one press, answered in one line. */
import { html, nothing, type TemplateResult } from "lit-html"
import { repeat } from "lit-html/directives/repeat.js"
import { t } from "../i18n"
import { circularsFor, isUnread } from "../protocol"
import { beijing } from "../time"
import type { CircularView } from "../wire"
import type { Page } from "./page"

const SHOWN = 10

export function circulars(page: Page): TemplateResult | typeof nothing {
  const { division } = page.station.credentials.who
  const views = circularsFor(page.station.state, division).slice(0, SHOWN)
  if (views.length === 0) return nothing
  return html`<section class="card circulars" aria-label=${t("circular.title")}>
    <h2>${t("circular.title")}</h2>
    <ul>
      ${repeat(
        views,
        (view) => view.circular,
        (view) => card(page, view, isUnread(view, division)),
      )}
    </ul>
  </section>`
}

function card(page: Page, view: CircularView, unread: boolean): TemplateResult {
  return html`<li class="circular" data-testid="circular" data-circular=${view.circular}>
    <p class="directive-head">
      <strong>${view.title}</strong>
      ${view.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
      <span class="when">${beijing(view.sent_at)}</span>
    </p>
    <p>${view.text}</p>
    <p class="stage">${t("circular.from", { name: view.by_name })}</p>
    ${unread
      ? html`<button class="primary" ?disabled=${busy(page, view)} @click=${() => void answer(page, view)} data-testid="circular-read">${t("circular.read")}</button>`
      : nothing}
    ${view.asks ? reply(page, view) : nothing}
  </li>`
}

function reply(page: Page, view: CircularView): TemplateResult {
  const send = (event: SubmitEvent): void => {
    event.preventDefault()
    const field = (event.target as HTMLFormElement).elements.namedItem("text") as HTMLInputElement
    const said = field.value.trim()
    const sent = (): void => {
      if (field.value.trim() === said) field.value = "" // what was written meanwhile stays
    }
    if (said !== "") void answer(page, view, said, sent)
  }
  return html`<form class="reply" @submit=${send}>
    <input name="text" maxlength="500" aria-label=${t("circular.answer")} placeholder=${t("circular.ask")} data-testid="circular-reply" />
    <button class="plain" ?disabled=${busy(page, view)} data-testid="circular-answer">${t("circular.answer")}</button>
  </form>`
}

const act = (view: CircularView): string => `answer ${view.circular}`
const busy = (page: Page, view: CircularView): boolean => page.acts.has(act(view))

async function answer(page: Page, view: CircularView, text = "", sent = (): void => {}): Promise<void> {
  try {
    await page.acts.once(act(view), () => page.station.api.answerCircular(view.circular, text).then(sent))
  } catch (error) {
    page.complain(error)
  }
}
