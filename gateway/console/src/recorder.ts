/** A recorded voice, from the press of a button to a file: one at a time, and no microphone stays on unseen. */
import { microphone } from "./capture"

export type Recording = "idle" | "asking" | "recording" | "ending"

const BITS_PER_S = 24_000
const KINDS = ["audio/ogg;codecs=opus", "audio/webm;codecs=opus"]

export class Recorder {
  state: Recording = "idle"
  private media: MediaRecorder | null = null
  private closed = false

  /** `changed`: the state is another; `recorded`: here it is. */
  constructor(
    private readonly changed: () => void,
    private readonly recorded: (voice: Blob) => void,
  ) {}

  /** Begin, or end what was begun; nothing while the browser asks. Throws CaptureFailed without a microphone. */
  async press(): Promise<void> {
    if (this.state === "recording") return this.end()
    if (this.state !== "idle") return
    this.become("asking")
    let track: MediaStreamTrack
    try {
      track = await microphone()
    } catch (error) {
      this.become("idle")
      throw error
    }
    if (this.closed) track.stop() // the form was closed while the browser asked
    else this.begin(track)
  }

  /** Nobody wants it any more. */
  close(): void {
    this.closed = true
    if (this.state === "recording") this.end()
  }

  private begin(track: MediaStreamTrack): void {
    const type = KINDS.find((one) => MediaRecorder.isTypeSupported(one))
    const media = new MediaRecorder(new MediaStream([track]), {
      audioBitsPerSecond: BITS_PER_S,
      ...(type !== undefined && { mimeType: type }),
    })
    const parts: Blob[] = []
    media.ondataavailable = (event) => parts.push(event.data)
    media.onstop = () => {
      track.stop()
      this.become("idle")
      if (!this.closed) this.recorded(new Blob(parts))
    }
    media.start()
    this.media = media
    this.become("recording")
  }

  private end(): void {
    this.become("ending")
    this.media?.stop()
  }

  private become(state: Recording): void {
    this.state = state
    this.changed()
  }
}
