/** Every text of both pages, in the language chosen on this machine. */
import { ApiError } from "./api"
import { RequestFailed } from "./connection"
import { en } from "./en"
import { zh, type TextKey } from "./zh"

export type { TextKey }
export type Language = "zh" | "en"

const TABLES: Readonly<Record<Language, Readonly<Record<TextKey, string>>>> = { zh, en }
const KEY = "wuji.language"
const listeners = new Set<() => void>()
let current: Language = stored()

export function language(): Language {
  return current
}

export function setLanguage(next: Language): void {
  current = next
  localStorage.setItem(KEY, next)
  document.documentElement.lang = next === "zh" ? "zh-CN" : "en"
  for (const listener of listeners) listener()
}

export function otherLanguage(): void {
  setLanguage(current === "zh" ? "en" : "zh")
}

export function onLanguage(listener: () => void): void {
  listeners.add(listener)
}

/** The text of `key`, with `{name}` replaced by `values.name`. */
export function t(key: TextKey, values: Readonly<Record<string, string | number>> = {}): string {
  return TABLES[current][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** The text of a key made at run time (`alarm.state.` + state), or `fallback` when the tables do not have it. */
export function tOr(key: string, fallback: string): string {
  return key in zh ? t(key as TextKey) : fallback
}

/** Cause and next step of a failed call; codes the tables do not know are shown as they are. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError || error instanceof RequestFailed)) return t("error.other", { code: "page-error" })
  return explainCode(error.code)
}

export function explainCode(code: string): string {
  const fallback = code.startsWith("token-") ? t("error.token") : t("error.other", { code })
  return tOr(`error.${code}`, fallback)
}

function stored(): Language {
  try {
    return localStorage.getItem(KEY) === "en" ? "en" : "zh"
  } catch {
    return "zh" // storage switched off: the page still works
  }
}
