/**
 * What this browser has rung for, in IndexedDB: after a reload, and in a second tab, it does not ring again.
 *
 * A claim is one `add` in one transaction, so of two tabs that hear of a directive at once only one rings.
 * Where the browser keeps no database (a private window) every tab rings: too often rather than never.
 */
const KEEP_MS = 40 * 24 * 3_600_000 // no directive can be signed for longer than 30 days

/** Keeps each key once: false when it was there already. */
export interface Store {
  add(key: string, at: number): Promise<boolean>
  /** Forget what was added before `at`. */
  forget(at: number): Promise<void>
}

export class Claims {
  private swept = false

  constructor(
    private readonly store: Store,
    private readonly now: () => number = Date.now,
  ) {}

  /** Whether this is the first claim of `key` in this browser. */
  async claim(key: string): Promise<boolean> {
    const at = this.now()
    try {
      const first = await this.store.add(key, at)
      if (!this.swept) {
        this.swept = true
        await this.store.forget(at - KEEP_MS)
      }
      return first
    } catch {
      return true
    }
  }
}

const NAME = "wuji.shown"
const KEYS = "keys"

export class IndexedStore implements Store {
  private opened: Promise<IDBDatabase> | null = null

  add(key: string, at: number): Promise<boolean> {
    return this.inside((keys, done, failed) => {
      const asked = keys.add(at, key)
      asked.onsuccess = () => done(true)
      asked.onerror = (event) => {
        event.preventDefault() // the key is there: an answer, not a broken transaction
        if (asked.error?.name === "ConstraintError") done(false)
        else failed(asked.error)
      }
    })
  }

  forget(before: number): Promise<void> {
    return this.inside((keys, done, failed) => {
      const walk = keys.openCursor()
      walk.onerror = () => failed(walk.error)
      walk.onsuccess = () => {
        const cursor = walk.result
        if (cursor === null) return done(undefined)
        if (Number(cursor.value) < before) cursor.delete()
        cursor.continue()
      }
    })
  }

  private async inside<T>(
    work: (keys: IDBObjectStore, done: (value: T) => void, failed: (error: unknown) => void) => void,
  ): Promise<T> {
    const database = await (this.opened ??= open())
    return new Promise((resolve, reject) => work(database.transaction(KEYS, "readwrite").objectStore(KEYS), resolve, reject))
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1)
    asked.onupgradeneeded = () => asked.result.createObjectStore(KEYS)
    asked.onsuccess = () => resolve(asked.result)
    asked.onerror = () => reject(asked.error)
  })
}
