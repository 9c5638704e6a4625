/** How long to wait before dialling again. Pure: the random number comes in as an argument. */

export const FIRST_RETRY_MS = 1_000
export const LAST_RETRY_MS = 15_000

/**
 * Return the wait before attempt `attempt` (0 for the first retry), in milliseconds.
 *
 * Doubles from 1 s to 15 s; `spread` in 0..1 moves it over the upper half, so that
 * the terminals of a county do not all come back in the same second.
 */
export function retryMs(attempt: number, spread: number): number {
  const ceiling = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)
  return Math.max(FIRST_RETRY_MS, Math.round(ceiling * (0.5 + spread / 2)))
}
