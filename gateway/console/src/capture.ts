/** Camera, microphone and screen. Failing to get them is an answer, not an error: one joins to watch and listen. */

/** Why there is no camera or microphone; every one has a sentence in the language tables. */
export type CaptureProblem = "insecure" | "denied" | "missing" | "busy"

export interface Captured {
  readonly audio: MediaStreamTrack | null
  readonly video: MediaStreamTrack | null
  readonly problem: CaptureProblem | null
}

const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true }
const VIDEO: MediaTrackConstraints = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } }

/** Ask for both, then for the microphone alone, then for nothing. */
export async function capture(): Promise<Captured> {
  if (!canCapture()) return { audio: null, video: null, problem: "insecure" }
  try {
    return tracks(await navigator.mediaDevices.getUserMedia({ audio: AUDIO, video: VIDEO }), null)
  } catch (error) {
    const problem = reason(error)
    try {
      return tracks(await navigator.mediaDevices.getUserMedia({ audio: AUDIO }), problem)
    } catch {
      return { audio: null, video: null, problem }
    }
  }
}

/** The camera again, after it was switched off. */
export async function camera(): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: VIDEO })
  const [track] = stream.getVideoTracks()
  if (track === undefined) throw new DOMException("no camera", "NotFoundError")
  return track
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

export function reason(error: unknown): CaptureProblem {
  const name = error instanceof DOMException ? error.name : ""
  if (name === "NotAllowedError" || name === "SecurityError") return "denied"
  return name === "NotReadableError" || name === "AbortError" ? "busy" : "missing"
}

function tracks(stream: MediaStream, problem: CaptureProblem | null): Captured {
  return { audio: stream.getAudioTracks()[0] ?? null, video: stream.getVideoTracks()[0] ?? null, problem }
}
