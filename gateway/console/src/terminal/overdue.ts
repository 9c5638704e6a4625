/** 超时 on a terminal: what this place, or one it answers for, should have done by now. */
import { html, nothing, type TemplateResult } from "lit-html"
import { t, tOr } from "../i18n"
import { overdueByUrgency } from "../protocol"
import { beijing } from "../time"
import type { LateView, OverdueView } from "../wire"
import type { Page } from "./page"

const LISTED = 10

export function overdue(page: Page): TemplateResult | typeof nothing {
  const views = overdueByUrgency(page.station.state)
  if (views.length === 0) return nothing
  return html`<section class="card overdue" aria-label=${t("overdue.title")}>
    <h2>${t("overdue.title")}</h2>
    ${page.ui.overdue === null ? nothing : html`<button class="primary" @click=${() => page.hushOverdue()} data-testid="overdue-hush">${t("overdue.hush")}</button>`}
    <ul>
      ${views.flatMap((view) => view.rows.filter((row) => !row.ended).map((row) => [view, row] as const)).slice(0, LISTED).map(([view, row]) => late(page, view, row))}
    </ul>
  </section>`
}

function late(page: Page, view: OverdueView, row: LateView): TemplateResult {
  return html`<li class="bad" data-testid=${`late-${row.kind}`} data-overdue=${view.overdue} data-alarm=${row.alarm}>
    ${view.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
    <strong>${lateness(view, page.station.credentials.who.division, row)}</strong>
    ${tOr(`alarm.kind.${row.alarm_kind}`, row.alarm_kind)} ${row.alarm_place_name} · ${t("overdue.since", { time: beijing(row.since) })}
    ${view.acknowledged_by === null ? nothing : html`<span class="empty">${t("escalation.taken_by", { name: view.acknowledged_by.name })}</span>`}
  </li>`
}

/** One sentence, as it is read aloud. `own`: the division of this terminal. */
export function lateness(view: OverdueView, own: string, row: LateView | undefined = view.rows.find((one) => !one.ended)): string {
  if (row === undefined) return t("overdue.title")
  const what = `${row.name} ${t(`overdue.${row.kind}`)}`.trim()
  return row.place === own ? t("overdue.late", { what }) : t("overdue.told", { place: row.place_name, what })
}
