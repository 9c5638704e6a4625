/**
 * Answers by HTTP beside what the socket says.  No DOM.
 *
 * An answer may be older than what was heard while it was on its way.  The socket tells every change and tells them
 * in order, so what it said meanwhile is said again after the answer: its last word holds.
 */
import type { GatewayMessage } from "./wire"

const TOLD_TWICE: ReadonlySet<GatewayMessage["type"]> = new Set(["directive", "delivery", "draft", "alarm", "node", "escalation", "duty"])

export class Learning {
  private readonly waiting = new Set<GatewayMessage[]>()

  /** Take note of a message of the socket. */
  hear(message: GatewayMessage): void {
    if (!TOLD_TWICE.has(message.type)) return
    for (const heard of this.waiting) heard.push(message)
  }

  /** Return the answer, and what has to be said again after it. */
  async ask<T>(asked: Promise<T>): Promise<{ readonly answer: T; readonly heard: readonly GatewayMessage[] }> {
    const heard: GatewayMessage[] = []
    this.waiting.add(heard)
    try {
      return { answer: await asked, heard }
    } finally {
      this.waiting.delete(heard)
    }
  }
}
