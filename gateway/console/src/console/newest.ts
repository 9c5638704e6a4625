/** Of questions asked again while an earlier one was on its way, only the last one's answer counts. No DOM. */
export class Newest {
  private turn = 0

  /** Give `take` the answer, unless a later one was asked for or nobody wants any; throws what `asked` throws. */
  async of<T>(asked: Promise<T>, take: (answer: T) => void): Promise<void> {
    const turn = ++this.turn
    try {
      const answer = await asked
      if (turn === this.turn) take(answer)
    } catch (error) {
      if (turn === this.turn) throw error
    }
  }

  /** Nobody wants an answer any more. */
  close(): void {
    this.turn++
  }
}

/** Reads what keeps changing: one question at a time, and once more if it changed meanwhile. No DOM. */
export class Rereading {
  private reading = false
  private outdated = false

  /** `read` asks and takes the answer. */
  constructor(private readonly read: () => Promise<void>) {}

  /** Return when nothing is outdated; throws what `read` throws. While one is reading, others return at once. */
  async ring(): Promise<void> {
    this.outdated = true
    if (this.reading) return
    this.reading = true
    try {
      while (this.outdated) {
        this.outdated = false
        await this.read()
      }
    } finally {
      this.reading = false
    }
  }
}
