/** Pictures by hash, as addresses an <img> can use. Bounded: old ones are given back to the browser. */
import { ApiError } from "./api"
import { retryMs } from "./backoff"

export const MAX_PICTURES = 60
const TRIES = 6

export class Pictures {
  onChange: () => void = () => {}
  private readonly ready = new Map<string, string>()
  private readonly asked = new Set<string>()

  constructor(private readonly fetchBlob: (sha256: string) => Promise<Blob>) {}

  /** The address, or null while it is being fetched; `onChange` says when to ask again. */
  url(sha256: string | null): string | null {
    if (sha256 === null) return null
    const url = this.ready.get(sha256)
    if (url === undefined) {
      if (!this.asked.has(sha256)) void this.load(sha256)
      return null
    }
    this.ready.delete(sha256)
    this.ready.set(sha256, url) // newest at the end
    return url
  }

  private async load(sha256: string): Promise<void> {
    this.asked.add(sha256)
    for (let attempt = 0; attempt < TRIES; attempt++) {
      try {
        this.keep(sha256, URL.createObjectURL(await this.fetchBlob(sha256)))
        return
      } catch (error) {
        if (error instanceof ApiError && !error.uncertain && error.code !== "blob-pending") return
        await new Promise((resolve) => setTimeout(resolve, retryMs(attempt, Math.random())))
      }
    }
    this.asked.delete(sha256)
  }

  private keep(sha256: string, url: string): void {
    this.ready.set(sha256, url)
    for (const [oldest, stale] of this.ready) {
      if (this.ready.size <= MAX_PICTURES) break
      URL.revokeObjectURL(stale)
      this.ready.delete(oldest)
      this.asked.delete(oldest)
    }
    this.onChange()
  }
}
