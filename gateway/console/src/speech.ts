/** Read a directive aloud, if this machine has a Chinese voice of its own. */

/** Speak `text`, then call `done`; false when there is no such voice, and `done` is not called. */
export function speak(text: string, done: () => void): boolean {
  const speech = window.speechSynthesis as SpeechSynthesis | undefined
  const voice = speech?.getVoices().find((one) => one.lang.toLowerCase().startsWith("zh"))
  if (speech === undefined || voice === undefined) return false
  const utterance = new SpeechSynthesisUtterance(text)
  utterance.voice = voice
  utterance.lang = voice.lang
  utterance.rate = 0.95
  utterance.onend = utterance.onerror = done
  speech.speak(utterance)
  return true
}

export function hush(): void {
  ;(window.speechSynthesis as SpeechSynthesis | undefined)?.cancel()
}
