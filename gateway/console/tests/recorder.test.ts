import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Recorder } from "../src/recorder"
import { held } from "./views"

/** A microphone whose light the test can see. */
class Track {
  on = true
  stop(): void {
    this.on = false
  }
}

class FakeRecorder {
  static made: FakeRecorder[] = []
  static isTypeSupported = (): boolean => true
  ondataavailable: ((event: { data: Blob }) => void) | null = null
  onstop: (() => void) | null = null

  constructor() {
    FakeRecorder.made.push(this)
  }

  start(): void {}

  /** As a browser does: what was heard and the end come later. */
  stop(): void {
    queueMicrotask(() => {
      this.ondataavailable?.({ data: new Blob(["voice"]) })
      this.onstop?.()
    })
  }
}

let asked: { readonly give: (value: unknown) => void; readonly fail: (error: Error) => void }[]
let states: string[]
let voices: Blob[]
let recorder: Recorder

function allow(): Track {
  const track = new Track()
  asked.shift()!.give({ getTracks: () => [track] })
  return track
}

const settled = (): Promise<void> => new Promise((done) => setTimeout(done))

beforeEach(() => {
  asked = []
  states = []
  voices = []
  FakeRecorder.made = []
  vi.stubGlobal("window", { isSecureContext: true })
  vi.stubGlobal("navigator", {
    mediaDevices: {
      getUserMedia: () => {
        const question = held<unknown>()
        asked.push(question)
        return question.promise
      },
    },
  })
  vi.stubGlobal("MediaRecorder", FakeRecorder)
  vi.stubGlobal("MediaStream", class {})
  recorder = new Recorder(() => states.push(recorder.state), (voice) => voices.push(voice))
})

afterEach(() => vi.unstubAllGlobals())

test("a voice is recorded from one press to the next, and the microphone goes off", async () => {
  const begun = recorder.press()
  const track = allow()
  await begun
  await recorder.press()
  await settled()
  expect([states, voices.length, track.on]).toEqual([["asking", "recording", "ending", "idle"], 1, false])
})

test("pressed twice while the browser asks, it asks once", async () => {
  const pressed = [recorder.press(), recorder.press()]
  expect(asked).toHaveLength(1)
  allow()
  await Promise.all(pressed)
  expect(FakeRecorder.made).toHaveLength(1)
})

test("closed while the browser asks, it never begins and leaves no microphone on", async () => {
  const begun = recorder.press()
  recorder.close()
  const track = allow()
  await begun
  expect([FakeRecorder.made.length, track.on]).toEqual([0, false])
})

test("closed while it records, it keeps nothing", async () => {
  const begun = recorder.press()
  const track = allow()
  await begun
  recorder.close()
  await settled()
  expect([voices.length, track.on]).toEqual([0, false])
})

test("refused, it can be asked again", async () => {
  const begun = recorder.press()
  asked.shift()!.fail(new Error("no"))
  await expect(begun).rejects.toThrow("missing")
  expect(recorder.state).toBe("idle")
  const again = recorder.press()
  allow()
  await again
  expect(recorder.state).toBe("recording")
})
