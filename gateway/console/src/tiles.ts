/** Who is in which picture: the slots of the gateway joined with the names of the roster. Pure. */
import type { MeetingView } from "./meeting"
import { theirs } from "./quality"
import type { State } from "./protocol"
import type { Condition, ConferenceView, ParticipantView } from "./wire"

export interface Tile {
  readonly mid: string
  readonly kind: "video" | "audio"
  /** Position among the slots of its kind; what `watch` calls the slot. */
  readonly index: number
  readonly stream: MediaStream | null
  readonly participant: string | null
  readonly name: string
  readonly place: string
  readonly speaking: boolean
  /** It is a shared screen, not a camera. */
  readonly content: boolean
  /** No picture comes, because the line is too narrow; sound goes on. */
  readonly paused: boolean
  /** A picture comes every few seconds, because the line has room for no more; sound goes on. */
  readonly thumbnails: boolean
  /** How well its way to the gateways works; null for an empty picture and before the gateway has said. */
  readonly condition: Condition | null
}

/** One tile per slot of our offer, in its order; empty ones have no participant. */
export function tiles(state: State, view: Pick<MeetingView, "conference" | "streams">): Tile[] {
  const conference = seatedConference(state, view)
  const counts = { video: 0, audio: 0 }
  return [...view.streams].map(([mid, stream]) => {
    const slot = state.seat?.slots.find((one) => one.mid === mid)
    const kind = stream.getVideoTracks().length > 0 ? "video" : "audio"
    const who = conference?.participants.find((one) => one.participant === slot?.participant)
    const track = who?.tracks.find((one) => one.track === slot?.track)
    return {
      mid,
      kind,
      index: counts[kind]++,
      stream,
      participant: slot?.participant ?? null,
      name: who?.name ?? "",
      place: who === undefined ? "" : (state.places.get(who.division)?.name ?? ""),
      speaking: who !== undefined && who.participant === conference?.speaker,
      content: track?.label === "content",
      paused: slot?.paused ?? false,
      thumbnails: slot?.thumbnails ?? false,
      condition: theirs(state.quality, slot?.participant ?? null),
    }
  })
}

/** The track in each picture that should move, by media section id. */
export function flowing(state: State, view: Pick<MeetingView, "conference" | "audioOnly">): ReadonlyMap<string, string> {
  if (view.audioOnly) return new Map()
  const people = seatedConference(state, view)?.participants ?? []
  const live = new Set(people.flatMap((one) => one.tracks.filter((track) => !track.muted).map((track) => track.track)))
  return new Map(
    (state.seat?.slots ?? []).flatMap(({ mid, kind, track, paused, thumbnails }) =>
      kind === "video" && track !== null && !paused && !thumbnails && live.has(track) ? [[mid, track] as const] : [],
    ),
  )
}

/** Everybody else in the meeting, for the choice of whom to watch. */
export function others(state: State, view: Pick<MeetingView, "conference">): readonly ParticipantView[] {
  return seatedConference(state, view)?.participants.filter((one) => one.participant !== state.seat?.self) ?? []
}

/** Whether this page is part of an exercise now: the meeting it is in is one. */
export function inExercise(state: State, view: Pick<MeetingView, "conference">): boolean {
  return seatedConference(state, view)?.exercise ?? false
}

export function seatedConference(state: State, view: Pick<MeetingView, "conference">): ConferenceView | null {
  return view.conference === null ? null : (state.conferences.get(view.conference) ?? null)
}
