/** What was taken out of a text and what was put in. Pure. */

export interface Piece {
  readonly kind: "same" | "out" | "in"
  readonly text: string
}

/** Table cells at most, 4 bytes each; beyond that the changed part is told as a whole. */
const MAX_CELLS = 4_000_000
const WORD = /[\p{Script=Latin}\p{Nd}]+|[^]/gu

/** The pieces of both texts in order: without those "in" they are `before`, without those "out" `after`. */
export function difference(before: string, after: string): Piece[] {
  const [old, now] = [words(before), words(after)]
  const head = common(old, now, (list, at) => list[at])
  const rest = Math.min(old.length, now.length) - head
  const tail = Math.min(rest, common(old, now, (list, at) => list[list.length - 1 - at]))
  const middle = changes(old.slice(head, old.length - tail), now.slice(head, now.length - tail))
  return joined([...same(old.slice(0, head)), ...middle, ...same(old.slice(old.length - tail))])
}

/** Latin words and numbers whole, everything else sign by sign. */
function words(text: string): string[] {
  return text.match(WORD) ?? []
}

function common(one: string[], other: string[], at: (list: string[], index: number) => string | undefined): number {
  let length = 0
  while (length < Math.min(one.length, other.length) && at(one, length) === at(other, length)) length++
  return length
}

/** The longest common subsequence, walked from the start. */
function changes(old: string[], now: string[]): Piece[] {
  const width = now.length + 1
  if ((old.length + 1) * width > MAX_CELLS) return [piece("out", old.join("")), piece("in", now.join(""))]
  const lengths = new Uint32Array((old.length + 1) * width)
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = now.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        old[i] === now[j] ? 1 + lengths[(i + 1) * width + j + 1]! : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!)
  const found: Piece[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      found.push(piece("same", old[i++]!))
      j++
    } else if (j === now.length || (i < old.length && lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!))
      found.push(piece("out", old[i++]!))
    else found.push(piece("in", now[j++]!))
  }
  return found
}

function same(tokens: string[]): Piece[] {
  return [piece("same", tokens.join(""))]
}

function piece(kind: Piece["kind"], text: string): Piece {
  return { kind, text }
}

/** Neighbours of a kind in one piece; what was taken out stands before what came in its place. */
function joined(pieces: readonly Piece[]): Piece[] {
  const found: Piece[] = []
  let [out, put] = ["", ""]
  const flush = (): void => {
    if (out !== "") found.push(piece("out", out))
    if (put !== "") found.push(piece("in", put))
    out = put = ""
  }
  for (const { kind, text } of pieces) {
    if (kind === "out") out += text
    else if (kind === "in") put += text
    else if (text !== "") {
      flush()
      const last = found.at(-1)
      if (last?.kind === "same") found[found.length - 1] = piece("same", last.text + text)
      else found.push(piece("same", text))
    }
  }
  flush()
  return found
}
