/** What a person has asked for and is not done yet: a second press meanwhile does nothing. No DOM. */
export class Acts {
  private readonly running = new Set<string>()

  /** `changed`: something began or ended, so that a button may be drawn anew. */
  constructor(private readonly changed: () => void = () => {}) {}

  has(what: string): boolean {
    return this.running.has(what)
  }

  /** Do `act` unless the same is being done; whatever it throws is thrown on. */
  async once(what: string, act: () => Promise<unknown>): Promise<void> {
    if (this.running.has(what)) return
    this.running.add(what)
    this.changed()
    try {
      await act()
    } finally {
      this.running.delete(what)
      this.changed()
    }
  }
}
