/** Browsers keep a page silent until somebody clicks or types: play what waits as soon as they do. */

export function playOnGesture(): void {
  for (const gesture of ["pointerdown", "keydown"])
    document.addEventListener(gesture, () => {
      for (const audio of document.querySelectorAll("audio"))
        if (audio.paused) audio.play().catch(() => undefined) // still not allowed: the next click tries again
    })
}
