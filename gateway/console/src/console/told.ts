/** What an audit line says, with the codes of records put into the words of the page. Pure. */
import type { AuditLine } from "../api"

type Words = (key: string, fallback: string) => string

export function told({ kind, text }: Pick<AuditLine, "kind" | "text">, words: Words): string {
  const say = (table: string) => (code: string): string => words(`${table}.${code}`, code)
  switch (kind) {
    case "directive_issued":
      return text.replace(/^P\d/, say("urgency"))
    case "delivery_advanced":
      return text.replace(/\w+$/, say("stage"))
    case "alarm_advanced":
      return text.replace(/^\w+/, say("alarm.state"))
    case "alarm_raised":
      return text.replace(/^(P\d) ([^:]+)/, (_, urgency: string, what: string) => `${say("urgency")(urgency)} ${say("alarm.kind")(what)}`)
    default:
      return text
  }
}
