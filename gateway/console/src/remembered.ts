/** A set of ids that survives a reload of the tab and ends with it. Bounded: the oldest is forgotten first. */

const LIMIT = 500

/** What a session remembers, as those see it who only ask and add. */
export interface Remembered {
  has(id: string): boolean
  add(id: string): void
}

export class SessionSet implements Remembered {
  private readonly ids: Set<string>

  constructor(private readonly key: string) {
    this.ids = new Set((sessionStorage.getItem(key) ?? "").split(" ").filter((id) => id !== ""))
  }

  has(id: string): boolean {
    return this.ids.has(id)
  }

  add(id: string): void {
    this.ids.add(id)
    for (const oldest of this.ids) {
      if (this.ids.size <= LIMIT) break
      this.ids.delete(oldest)
    }
    this.save()
  }

  delete(id: string): void {
    if (this.ids.delete(id)) this.save()
  }

  private save(): void {
    sessionStorage.setItem(this.key, [...this.ids].join(" "))
  }
}
