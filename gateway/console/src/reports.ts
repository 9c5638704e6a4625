/**
 * Reports that wait for the network (随手拍): kept on the phone until the gateway has them.
 *
 * Each carries its own event id, so one that is sent twice, or from two tabs, is one alarm.
 */
import { ApiError, type AlarmReport } from "./api"

export const MAX_WAITING = 50

/** `owner`: who made it; it is sent in nobody else's name. `at`: UTC milliseconds. */
export interface Waiting {
  readonly owner: string
  readonly at: number
  readonly report: AlarmReport
  readonly picture: Blob | null
}

/** Where they are kept, by event. */
export interface Shelf {
  all(): Promise<readonly Waiting[]>
  put(one: Waiting): Promise<void>
  remove(event: string): Promise<void>
}

export class Reports {
  /** How many wait. */
  count = 0
  onChange: () => void = () => {}
  /** The gateway will not have one: it says why. */
  onRefused: (error: ApiError) => void = () => {}
  private flushing = false

  constructor(
    private readonly owner: string,
    private readonly shelf: Shelf,
    private readonly send: (report: AlarmReport, picture: Blob | null) => Promise<unknown>,
  ) {}

  /** Keep a report until it is sent. Throws when there is no room for one more. */
  async add(report: AlarmReport, picture: Blob | null, at: number): Promise<void> {
    const kept = await this.shelf.all()
    if (kept.length >= MAX_WAITING) throw new Error(`${kept.length} reports wait already`)
    await this.shelf.put({ owner: this.owner, at, report, picture })
    await this.recount()
  }

  /** Send what waits, oldest first, until the network fails again. */
  async flush(): Promise<void> {
    if (this.flushing) return
    this.flushing = true
    try {
      for (const one of await this.mine()) if (!(await this.deliver(one))) break
    } finally {
      this.flushing = false
      await this.recount()
    }
  }

  private async deliver(one: Waiting): Promise<boolean> {
    try {
      await this.send(one.report, one.picture)
    } catch (error) {
      if (!(error instanceof ApiError) || isPassing(error)) return false
      this.onRefused(error)
    }
    await this.shelf.remove(one.report.event)
    return true
  }

  private async mine(): Promise<Waiting[]> {
    return [...(await this.shelf.all())].filter((one) => one.owner === this.owner).sort((a, b) => a.at - b.at)
  }

  private async recount(): Promise<void> {
    this.count = (await this.mine()).length
    this.onChange()
  }
}

/** Whether the same report may be taken later: no answer, a busy gateway, or a sign-in that is over. */
export function isPassing(error: ApiError): boolean {
  return error.uncertain || error.status === 429 || error.status === 401 || error.status === 408
}

const STORE = "reports"

/** Shelf in the browser's database, which outlives the page and the battery. */
export class DatabaseShelf implements Shelf {
  private opened: Promise<IDBDatabase> | null = null

  async all(): Promise<readonly Waiting[]> {
    return this.ask<Waiting[]>("readonly", (store) => store.getAll())
  }

  async put(one: Waiting): Promise<void> {
    await this.ask("readwrite", (store) => store.put(one, one.report.event))
  }

  async remove(event: string): Promise<void> {
    await this.ask("readwrite", (store) => store.delete(event))
  }

  private async ask<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    this.opened ??= open()
    const transaction = (await this.opened).transaction(STORE, mode)
    const request = work(transaction.objectStore(STORE))
    return new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve(request.result)
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("not kept"))
    })
  }
}

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open("wuji.reports", 1)
  request.onupgradeneeded = () => request.result.createObjectStore(STORE)
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error("no database"))
  })
}
