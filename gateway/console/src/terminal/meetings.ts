/** The meeting on a terminal: one or four pictures, and the buttons under the thumb. */
import { html, nothing, type TemplateResult } from "lit-html"
import { live } from "lit-html/directives/live.js"
import { repeat } from "lit-html/directives/repeat.js"
import { canShare } from "../capture"
import { explainCode, t } from "../i18n"
import type { MeetingView } from "../meeting"
import { conferencesByTime } from "../protocol"
import { bars, ours, tone, words } from "../quality"
import { others, seatedConference, tiles, type Tile } from "../tiles"
import type { Page } from "./page"

// Streams are bound through live(): an object is otherwise set again at every drawing, and a video whose source
// is set again starts anew, even when it is the same one.

export function meeting(page: Page): TemplateResult {
  const { meetingView: view } = page.station
  return html`<section class="card meeting" aria-label=${t("meeting.title")}>
    ${view.conference === null ? lobby(page) : room(page)}
    ${view.failure === null ? nothing : html`<p class="bad" role="alert" data-testid="meeting-failure">${explainCode(view.failure)}</p>`}
    ${view.problem === null
      ? nothing
      : html`<div class="hint" role="status" data-testid="capture-problem">
          <p>${t(`capture.${view.problem}`)}</p>
          ${view.problem === "insecure" ? html`<p>${t("capture.insecure.steps")}</p>` : nothing}
        </div>`}
  </section>`
}

function lobby(page: Page): TemplateResult {
  const running = conferencesByTime(page.station.state)
  if (running.length === 0) return html`<p class="empty" data-testid="meeting-none">${t("meeting.none")}</p>`
  return html`<ul class="lobby">
    ${running.map(
      (one) => html`<li>
        <p class="lobby-title">
          ${one.title} ${one.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
          <span class="when">${t("meeting.sites", { count: one.participants.length })}</span>
        </p>
        <button
          class="primary"
          @click=${() => void page.station.join(one.conference)}
          data-testid="join"
          data-conference=${one.conference}
        >
          ${t("meeting.join")}
        </button>
      </li>`,
    )}
  </ul>`
}

function room(page: Page): TemplateResult {
  const { station } = page
  const view = station.meetingView
  const conference = seatedConference(station.state, view)
  const all = tiles(station.state, view)
  const pictures = all.filter((tile) => tile.kind === "video")
  return html`
    <div class="room-head">
      <strong data-testid="meeting-title">${conference?.title ?? t("meeting.joining")}</strong>
      ${conference?.exercise ? html`<span class="exercise">${t("app.exercise")}</span>` : nothing}
      <span class="when">${t("meeting.sites", { count: conference?.participants.length ?? 0 })}</span>
      ${ours(station.state.quality).map(
        ({ name, condition }) => html`<span class="way ${tone(condition)}" data-testid=${`${name}link`} data-level=${condition.level}>
          ${t(`quality.${name}`)} <span aria-hidden="true">${bars(condition)}</span> ${words(condition, name, t)}
        </span>`,
      )}
      ${choice(page)}
      ${view.phase === "joining" ? html`<span role="status">${t("meeting.joining")}</span>` : nothing}
      ${view.phase === "recovering" ? html`<span role="status" class="bad" data-testid="meeting-recovering">${t("line.media")}</span>` : nothing}
    </div>
    ${lineNotice(view, pictures)}
    <div class="tiles ${pictures.length > 1 ? "four" : "one"}" data-testid="tiles">
      ${repeat(
        pictures,
        (tile) => tile.mid,
        (tile) => picture(tile, view.audioOnly),
      )}
      ${view.preview === null
        ? nothing
        : html`<video class="preview" data-testid="preview" aria-label=${t("meeting.me")} autoplay muted playsinline .srcObject=${live(view.preview)}></video>`}
    </div>
    ${repeat(
      all.filter((tile) => tile.kind === "audio"),
      (tile) => tile.mid,
      (tile) => html`<audio autoplay .srcObject=${live(tile.stream)}></audio>`,
    )}
    ${controls(page)}
  `
}

/** Which site is in the first picture; with nobody else there, there is nothing to choose. */
function choice(page: Page): TemplateResult | typeof nothing {
  const { state, meetingView: view, meeting: seat } = page.station
  const sites = others(state, view)
  if (sites.length === 0) return nothing
  const choose = (event: Event): void => {
    const { value } = event.target as HTMLSelectElement
    seat.pin(value === "" ? null : value).catch((error: unknown) => page.complain(error))
  }
  return html`<select aria-label=${t("meeting.watch")} data-testid="meeting-watch" @change=${choose}>
    <option value="" .selected=${view.pinned === null}>${t("meeting.auto")}</option>
    ${repeat(
      sites,
      (one) => one.participant,
      (one) => html`<option value=${one.participant} .selected=${view.pinned === one.participant}>
        ${state.places.get(one.division)?.name ?? ""} ${one.name}
      </option>`,
    )}
  </select>`
}

/** What the line does to the pictures, and what it carries. */
function lineNotice(view: MeetingView, pictures: readonly Tile[]): TemplateResult {
  const paused = pictures.filter((tile) => tile.paused).length
  const { rates } = view
  return html`
    ${paused === 0 || view.audioOnly ? nothing : html`<p class="hint" role="status" data-testid="narrow">${t("meeting.narrow", { count: paused })}</p>`}
    ${view.audioOnly ? html`<p class="hint" role="status" data-testid="audio-only-on">${t("meeting.audio_only.on")}</p>` : nothing}
    ${rates === null ? nothing : html`<p class="when" data-testid="rates">${t("meeting.rates", { ...rates })}</p>`}
  `
}

/** Why a picture stands still, or null while it moves. */
function stillness(tile: Tile, audioOnly: boolean): string | null {
  if (tile.participant === null) return t("meeting.waiting")
  if (audioOnly) return t("meeting.audio_only.on")
  return tile.paused ? t("meeting.paused") : null
}

function picture(tile: Tile, audioOnly: boolean): TemplateResult {
  const still = stillness(tile, audioOnly)
  return html`<figure
    class="tile ${tile.speaking ? "speaking" : ""}"
    data-testid=${tile.participant === null ? "meeting-slot" : "meeting-tile"}
    data-participant=${tile.participant ?? ""}
    data-name=${tile.name}
    data-mid=${tile.mid}
  >
    <video autoplay muted playsinline .srcObject=${live(tile.stream)}></video>
    ${still === null ? nothing : html`<p class="tile-empty" data-testid=${tile.paused ? "tile-paused" : nothing}>${still}</p>`}
    ${still === null && tile.thumbnails ? html`<p class="tile-note" role="status" data-testid="tile-thumbnails">${t("meeting.thumbnails")}</p>` : nothing}
    ${tile.condition === null
      ? nothing
      : html`<p class="quality ${tone(tile.condition)}" data-testid="quality" data-level=${tile.condition.level}>
          <span aria-hidden="true">${bars(tile.condition)}</span> ${words(tile.condition, "their", t)}
        </p>`}
    <figcaption>${tile.place} ${tile.name}${tile.content ? ` · ${t("meeting.content")}` : ""}</figcaption>
  </figure>`
}

function controls(page: Page): TemplateResult {
  const { meeting: seat, meetingView: view } = page.station
  const button = (on: boolean, name: string, testid: string, act: () => void, enabled = true): TemplateResult =>
    html`<button class=${on ? "on" : "off"} aria-pressed=${on} ?disabled=${!enabled} @click=${act} data-testid=${testid}>${name}</button>`
  return html`<div class="controls" role="toolbar" aria-label=${t("meeting.title")}>
    ${button(view.microphone, t(view.microphone ? "meeting.mute" : "meeting.unmute"), "mic-toggle", () => void seat.setMicrophone(!view.microphone), view.problem !== "insecure")}
    ${button(view.camera, t(view.camera ? "meeting.camera_off" : "meeting.camera_on"), "camera-toggle", () => void seat.setCamera(!view.camera), view.problem !== "insecure")}
    ${canShare() ? button(view.content, t(view.content ? "meeting.unshare" : "meeting.share"), "share-toggle", () => void seat.setContent(!view.content)) : nothing}
    ${button(view.audioOnly, t(view.audioOnly ? "meeting.pictures" : "meeting.audio_only"), "audio-only", () => seat.setAudioOnly(!view.audioOnly))}
    <button class="danger" @click=${() => void page.station.leave()} data-testid="leave">${t("meeting.leave")}</button>
  </div>`
}
