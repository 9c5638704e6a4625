/** Camera, microphone and screen. Nothing is asked for before a person switches it on. */

/** Why there is no camera or microphone; every one has a sentence in the language tables. */
export type CaptureProblem = "insecure" | "denied" | "missing" | "busy"

/** Thrown instead of the browser's own errors. */
export class CaptureFailed extends Error {
  constructor(readonly problem: CaptureProblem) {
    super(problem)
  }
}

const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true }
const VIDEO: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } }

export function microphone(): Promise<MediaStreamTrack> {
  return capture({ audio: AUDIO })
}

export function camera(): Promise<MediaStreamTrack> {
  return capture({ video: VIDEO })
}

async function capture(wanted: MediaStreamConstraints): Promise<MediaStreamTrack> {
  if (!canCapture()) throw new CaptureFailed("insecure")
  try {
    const [track] = (await navigator.mediaDevices.getUserMedia(wanted)).getTracks()
    if (track !== undefined) return track
  } catch (error) {
    throw new CaptureFailed(reason(error))
  }
  throw new CaptureFailed("missing")
}

/** The screen or a window, or null when the person changed their mind. */
export async function screen(): Promise<MediaStreamTrack | null> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false })
    return stream.getVideoTracks()[0] ?? null
  } catch {
    return null
  }
}

/** False on http:// away from this machine: browsers then hide the camera altogether. */
export function canCapture(): boolean {
  return window.isSecureContext && navigator.mediaDevices !== undefined
}

export function canShare(): boolean {
  return canCapture() && "getDisplayMedia" in navigator.mediaDevices
}

function reason(error: unknown): CaptureProblem {
  const name = error instanceof DOMException ? error.name : ""
  if (name === "NotAllowedError" || name === "SecurityError") return "denied"
  return name === "NotReadableError" || name === "AbortError" ? "busy" : "missing"
}
