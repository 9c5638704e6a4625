/** Identity of one press of a button: a retry of the same press is the same directive. */

/** 32 hexadecimal characters. `crypto.randomUUID` is missing on http://, this is not. */
export function newClickId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/** Gives the same id for the same content until that content was issued. */
export class Press {
  private content: string | null = null
  private id = ""

  idFor(content: string): string {
    if (content !== this.content) {
      this.content = content
      this.id = newClickId()
    }
    return this.id
  }

  done(): void {
    this.content = null
  }
}
