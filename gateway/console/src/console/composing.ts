/** The form of a directive: what it begins with, and what is asked for with it. Pure. */
import type { IssueRequest, Template } from "../api"
import { blanks, filled } from "../blanks"
import type { ScopeItem } from "../scope"
import type { Attachment, DirectiveView, DraftView, FieldSpec, Urgency } from "../wire"

/** What a form begins with: nothing, the directive it takes the place of, or a draft that is kept at the gateway. */
export type Beginning =
  | { readonly kind: "blank" }
  | { readonly kind: "instead"; readonly of: DirectiveView }
  | { readonly kind: "draft"; readonly view: DraftView }

/** What people fill in. `group`: id of a named circle; `audience`: whom else; `kept`: as the draft has it. */
export interface Form {
  urgency: Urgency
  title: string
  text: string
  english: string
  exercise: boolean
  files: Attachment[]
  voice: string | null
  group: string
  audience: "all" | "tree" | "kept"
  blank: Record<string, string>
}

/** What goes with it and no field shows. */
export interface Rest {
  readonly template: string
  readonly plan: string
  readonly level: number
  readonly capacity: string
  readonly fields: readonly FieldSpec[]
  readonly texts: Readonly<Record<string, string>>
  readonly supersedes: string | null
  /** Milliseconds until it expires; null: the gateway's usual. */
  readonly expires_ms: number | null
}

const ENGLISH = "English"
const NO_REST: Rest = { template: "", plan: "", level: 0, capacity: "", fields: [], texts: {}, supersedes: null, expires_ms: null }

type Filled = Pick<Form, "urgency" | "title" | "text" | "exercise" | "voice"> & {
  readonly texts: Readonly<Record<string, string>>
  readonly files: readonly Attachment[]
}

/** The form as it opens; `ticked`: whether places are ticked in the tree. */
export function formOf(from: Beginning, ticked: boolean): Form {
  const begun: Filled | null = from.kind === "draft" ? from.view.request : from.kind === "instead" ? { ...from.of, files: from.of.attachments } : null
  return {
    urgency: begun?.urgency ?? "P2",
    title: begun?.title ?? "",
    text: begun?.text ?? "",
    english: begun?.texts[ENGLISH] ?? "",
    exercise: begun?.exercise ?? false,
    files: [...(begun?.files ?? [])],
    voice: begun?.voice ?? null,
    group: "",
    audience: from.kind === "draft" ? "kept" : ticked ? "tree" : "all",
    blank: {},
  }
}

export function restOf(from: Beginning): Rest {
  switch (from.kind) {
    case "blank":
      return NO_REST
    case "instead": {
      const { plan, level, capacity, fields, texts, directive } = from.of
      return { ...NO_REST, plan, level, capacity, fields, texts, supersedes: directive }
    }
    case "draft": {
      const { template, plan, level, capacity, fields, texts, supersedes, expires_ms } = from.view.request
      return { template, plan, level, capacity, fields, texts, supersedes, expires_ms }
    }
  }
}

/** What is left after `template` was chosen; null: none was. */
export function withTemplate(rest: Rest, template: Template | null): Rest {
  if (template === null) return { ...rest, template: "" }
  const { id, plan, level, capacity, fields } = template
  return { ...rest, template: id, plan, level, capacity, fields }
}

/** Blanks still to be filled in: only of what came from a template, for anybody may write braces. */
export function openBlanks(form: Form, rest: Rest): string[] {
  return rest.template === "" ? [] : blanks(form.title, form.text)
}

export function requestOf(form: Form, rest: Rest, scope: readonly ScopeItem[]): Omit<IssueRequest, "click_id"> {
  const { expires_ms, texts, ...others } = rest
  const { [ENGLISH]: _, ...languages } = texts
  const english = form.english.trim()
  return {
    ...others,
    ...(expires_ms === null ? {} : { expires_ms }),
    urgency: form.urgency,
    title: filled(form.title.trim(), form.blank),
    text: filled(form.text.trim(), form.blank),
    texts: english === "" ? languages : { ...languages, [ENGLISH]: english },
    scope,
    exercise: form.exercise,
    files: form.files,
    voice: form.voice,
  }
}
