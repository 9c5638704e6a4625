/** What a terminal page remembers besides the state of the station, and how to change it. */
import type { Acts } from "../acts"
import type { Attention } from "../attention"
import type { Press } from "../clickid"
import type { Reports } from "../reports"
import type { Station } from "../station"
import type { Duty } from "./duty"

/** WGS 84 degrees, and metres. */
export interface Position {
  readonly longitude: number
  readonly latitude: number
  readonly accuracy: number
}

export interface Report {
  readonly kind: string
  readonly text: string
  readonly picture: Blob | null
  /** Object URL of `picture`. */
  readonly preview: string | null
  /** Ends when the picture chosen last is in the form, or is known to be none. */
  readonly attaching: Promise<void> | null
  /** Where the phone is; null while that is not known. */
  readonly position: Position | null
  readonly sending: boolean
  readonly problem: string | null
  /** One form is one alarm, however often it is sent. */
  readonly press: Press
}

/** A call to a place above that is being written. */
export interface CallForm {
  readonly alarm: string
  readonly to: string
  readonly note: string
}

export interface Ui {
  readonly call: CallForm | null
  readonly onDuty: boolean
  /** The list of what is overdue that rings; null: none does. */
  readonly overdue: string | null
  /** Whole text of the directive in front, not its first two lines. */
  readonly expanded: boolean
  readonly signer: string
  readonly report: Report | null
  /** Directive whose feedback form is open. */
  readonly feedback: string | null
  /** One sentence about the last action, read out to screen readers. */
  readonly notice: { readonly text: string; readonly bad: boolean } | null
}

export interface Page {
  readonly station: Station
  readonly duty: Duty
  readonly attention: Attention
  readonly reports: Reports
  /** What is being sent: its buttons wait. */
  readonly acts: Acts
  readonly ui: Ui
  set(part: Partial<Ui>): void
  say(text: string): void
  complain(error: unknown): void
  hushOverdue(): void
}

export const FIRST_UI: Ui = {
  call: null,
  onDuty: false,
  overdue: null,
  expanded: false,
  signer: "",
  report: null,
  feedback: null,
  notice: null,
}
