/** Opens the console: one Vue application over one station. */
import { createApp } from "vue"
import "element-plus/theme-chalk/base.css"
import "element-plus/theme-chalk/dark/css-vars.css"
import "element-plus/theme-chalk/el-button.css"
import "element-plus/theme-chalk/el-dialog.css"
import "element-plus/theme-chalk/el-input.css"
import "element-plus/theme-chalk/el-message.css"
import "element-plus/theme-chalk/el-message-box.css"
import "element-plus/theme-chalk/el-overlay.css"
import "element-plus/theme-chalk/el-progress.css"
import "element-plus/theme-chalk/el-radio-button.css"
import "element-plus/theme-chalk/el-radio-group.css"
import "element-plus/theme-chalk/el-switch.css"
import "element-plus/theme-chalk/el-tag.css"
import type { Credentials } from "../credentials"
import { listenToKeys } from "../keys"
import { playOnGesture } from "../sounds"
import { slotsOfTier, Station } from "../station"
import ConsolePage from "./ConsolePage.vue"
import "./console.css"
import { Desk, DESK } from "./desk"

export function openConsole(root: HTMLElement, credentials: Credentials): void {
  document.documentElement.classList.add("dark")
  // a command centre has a wall: nine pictures at least, also at a township
  const station = new Station(credentials, (tier) => Math.max(9, slotsOfTier(tier)))
  const desk = new Desk(station)
  station.autoEnter = credentials.who.role !== "auditor" // an auditor enters only when asked to
  if (desk.mayCommand) listenToKeys(station.meeting)
  playOnGesture()
  createApp(ConsolePage).provide(DESK, desk).mount(root)
  station.start()
}
