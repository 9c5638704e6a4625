/** Keep the screen of a duty terminal on, where the browser can. */

export function keepAwake(): void {
  void ask()
  document.addEventListener("visibilitychange", () => void ask()) // hiding the page gives the lock back
}

async function ask(): Promise<void> {
  if (document.visibilityState !== "visible") return
  try {
    await (navigator.wakeLock as WakeLock | undefined)?.request("screen")
  } catch {
    // low battery or not allowed: the page works without
  }
}
