/** Identity of one press of a button: a retry of the same press is the same directive, meeting or alarm. */

/** 32 hexadecimal characters. `crypto.randomUUID` is missing on http://, this is not. */
export function newClickId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/**
 * Gives the same id for the same content until the gateway has said that it is done.
 *
 * So a retry after a lost answer carries the id of the attempt that may have succeeded, and whoever asks for
 * something else, or for the same again after the answer came, does a new thing.
 */
export class Press {
  private content: string | null = null
  private id = ""
  private at = 0

  /** After `keepMs` without an answer the same content is a new press: for things that change by themselves. */
  constructor(private readonly keepMs = Infinity) {}

  idFor(content: string, now = Date.now()): string {
    if (content !== this.content || now - this.at > this.keepMs) {
      this.content = content
      this.id = newClickId()
      this.at = now
    }
    return this.id
  }

  done(): void {
    this.content = null
  }

  /** Ask with the id of this press; it is over when an answer comes, and lasts when `act` throws. */
  async once<T>(content: string, act: (id: string) => Promise<T>): Promise<T> {
    const answer = await act(this.idFor(content))
    this.done()
    return answer
  }
}
