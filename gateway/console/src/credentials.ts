/** Who is signed in on this tab. Kept in sessionStorage: it ends with the tab and is in no address. */
import type { Actor } from "./wire"

export interface Credentials {
  readonly token: string
  readonly who: Actor
  readonly node_name: string
  readonly division_name: string
  /** Milliseconds since the epoch, or null when the gateway did not say. */
  readonly expires_at: number | null
}

const KEY = "wuji.credentials"

export function load(): Credentials | null {
  const text = sessionStorage.getItem(KEY)
  if (text === null) return null
  try {
    return JSON.parse(text) as Credentials
  } catch {
    forget()
    return null
  }
}

export function save(credentials: Credentials): void {
  sessionStorage.setItem(KEY, JSON.stringify(credentials))
}

export function forget(): void {
  sessionStorage.removeItem(KEY)
}

/** Take the one-time code out of `/#code=XXXX` and out of the address bar. */
export function takeCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get("code")
  if (code !== null) history.replaceState(null, "", location.pathname + location.search)
  return code
}
