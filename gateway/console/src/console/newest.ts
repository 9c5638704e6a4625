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
