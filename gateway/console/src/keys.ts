/** M mutes, V switches the camera, holding Space talks. Not while somebody types. */
import type { Meeting } from "./meeting"

export function listenToKeys(meeting: Meeting): void {
  let talking = false
  document.addEventListener("keydown", (event) => {
    if (typing(event) || event.repeat || meeting.view.conference === null) return
    if (event.key === "m" || event.key === "M") void meeting.setMicrophone(!meeting.view.microphone)
    else if (event.key === "v" || event.key === "V") void meeting.setCamera(!meeting.view.camera)
    else if (event.key === " " && !onButton(event) && !meeting.view.microphone) {
      event.preventDefault()
      talking = true
      void meeting.setMicrophone(true)
    }
  })
  document.addEventListener("keyup", (event) => {
    if (event.key !== " " || !talking) return
    talking = false
    void meeting.setMicrophone(false)
  })
}

function typing(event: KeyboardEvent): boolean {
  const target = event.target as HTMLElement
  const modified = event.ctrlKey || event.altKey || event.metaKey
  return modified || target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName)
}

function onButton(event: KeyboardEvent): boolean {
  return (event.target as HTMLElement).closest("button, a, summary") !== null
}
