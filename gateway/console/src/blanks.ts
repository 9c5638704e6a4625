/** Blanks of a template: `{集合点}` is a place to fill in. Pure. */
const BLANK = /\{([^{}\n]{1,20})\}/g

/** The blanks of `texts`, each once, in the order they come. */
export function blanks(...texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => [...text.matchAll(BLANK)].map((found) => found[1]!)))]
}

/** `text` with the blanks filled in that have something in them. */
export function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(BLANK, (whole, name: string) => values[name]?.trim() || whole)
}
