/** The directive as a document, and its sign-off sheet, for A4. Opened by the console, signed in as whoever opened it. */
import { html, nothing, render, type TemplateResult } from "lit-html"
import { Api } from "../api"
import { load } from "../credentials"
import { explain, language, setLanguage, t, tOr } from "../i18n"
import { numbers, reached, tally, totals } from "../protocol"
import { labelOf } from "../terminal/feedback"
import { beijing } from "../time"
import type { DirectiveView, RecipientView } from "../wire"
import "./print.css"

const ROMAN = ["", "Ⅰ", "Ⅱ", "Ⅲ", "Ⅳ"]
const DAY = new Intl.DateTimeFormat("zh-CN", { timeZone: "Asia/Shanghai", dateStyle: "long" })

async function main(): Promise<void> {
  setLanguage(language())
  const root = document.querySelector<HTMLElement>("#app")!
  const credentials = load()
  const id = decodeURIComponent(location.pathname.split("/").pop() ?? "")
  if (credentials === null) return location.replace("/")
  try {
    const view = await new Api(credentials.token).directive(id)
    document.title = `${view.number} ${view.title}`.trim()
    render(sheet(view), root)
  } catch (error) {
    render(html`<p class="wait" role="alert">${explain(error)}</p>`, root)
  }
}

function sheet(view: DirectiveView): TemplateResult {
  return html`<p class="screen"><button @click=${() => print()}>${t("directive.print")}</button></p>
    <article data-testid="print-document">
      <p class="marks">
        <span>${t(`urgency.${view.urgency}`)}</span>
        ${view.level === 0 ? nothing : html`<span>${view.plan} ${t("directive.level", { level: ROMAN[view.level] ?? "" })}</span>`}
        ${view.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
        ${view.state === "issued" ? nothing : html`<span>${tOr(`directive.state.${view.state}`, view.state)}</span>`}
      </p>
      <p class="issuer">${view.capacity || view.issuer_name}</p>
      <p class="number" data-testid="print-number">${view.number}</p>
      <hr class="rule" />
      <h1>${view.title}</h1>
      <p class="text">${view.text}</p>
      ${Object.entries(view.texts).map(([name, words]) => html`<p class="text" lang=${name === "English" ? "en" : ""}>${words}</p>`)}
      <p class="foot">${view.capacity || view.issuer_name}<br />${DAY.format(view.issued_at)}</p>
      <div class="notes">${notes(view).map((note) => html`<div>${note}</div>`)}</div>
    </article>
    <h2>${view.number} ${t("directive.detail")}</h2>
    <p>${summary(view)}</p>
    ${matrix(view)}`
}

function notes(view: DirectiveView): string[] {
  const found = [t("directive.from", { issuer: view.issuer_name, name: view.issuer.name })]
  if (view.approved_by !== "") found.push(t("directive.approved_by", { name: view.approved_by }))
  if (view.countersigned_by !== "") found.push(t("directive.countersigned_by", { name: view.countersigned_by }))
  if (view.supersedes !== null) found.push(t("directive.supersedes", { number: view.supersedes_number }))
  if (view.successor !== null) found.push(t("directive.superseded_by", { number: view.successor_number }))
  return [...found, ...view.attachments.map((file) => `${file.name} SHA-256 ${file.sha256}`)]
}

function summary(view: DirectiveView): string {
  const sum = tally(view)
  const added = numbers(Object.fromEntries(totals(view))).map(([name, value]) => `${name} ${value}`)
  const counts = [`${t("directive.expected")} ${sum.total}`, `${t("stage.delivered")} ${sum.delivered}`, `${t("stage.signed")} ${sum.signed}`]
  return [...counts, ...added].join("　")
}

function matrix(view: DirectiveView): TemplateResult {
  const stages = ["delivered", "shown"] as const
  return html`<table data-testid="print-matrix">
    <thead>
      <tr>
        <th>${t("directive.place")}</th>
        ${stages.map((stage) => html`<th>${t(`stage.${stage}`)}</th>`)}
        <th>${t("stage.signed")}</th>
        <th>${t("directive.feedback.title")}</th>
      </tr>
    </thead>
    <tbody>
      ${view.recipients.map(
        (row) => html`<tr>
          <td>${row.name}${row.post === "" ? nothing : html`<br />${row.post}`}</td>
          <td>${beijing(row.delivered_at) || (reached(row.stage, "delivered") ? "✓" : "")}</td>
          <td>${beijing(row.shown_at) || (reached(row.stage, "shown") ? "✓" : "")}</td>
          <td>${row.signed_by} ${beijing(row.signed_at)}</td>
          <td>${said(view, row)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`
}

function said(view: DirectiveView, row: RecipientView): string {
  const label = (name: string): string => {
    const field = view.fields.find((one) => one.name === name)
    return field === undefined ? name : labelOf(field)
  }
  const all = [...numbers(row.values), ...Object.entries(row.answers)]
  return [...all.map(([name, value]) => `${label(String(name))} ${value}`), row.note].filter((one) => one !== "").join("；")
}

void main()
