import { expect, test } from "vitest"
import { Acts } from "../src/acts"
import { Rereading } from "../src/console/newest"
import { Learning } from "../src/learning"
import { EMPTY, reduce, type PageEvent } from "../src/protocol"
import type { GatewayMessage } from "../src/wire"
import { alarm, directive, held, place, recipient, TOWN, VILLAGE } from "./views"

test("a second press while the first is under way does nothing, and one after it does", async () => {
  const drawn: boolean[] = []
  const acts: Acts = new Acts(() => drawn.push(acts.has("sign d1")))
  const first = held<void>()
  let asked = 0
  const press = (): Promise<void> => acts.once("sign d1", () => (asked++, first.promise))
  const pressed = [press(), press(), acts.once("sign d2", () => Promise.resolve(asked++))]
  expect(asked).toBe(2)
  first.give()
  await Promise.all(pressed)
  expect([drawn, acts.has("sign d1")]).toEqual([[true, true, true, false], false])
  await press()
  expect(asked).toBe(3)
})

test("what failed may be asked again", async () => {
  const acts = new Acts()
  await expect(acts.once("a", () => Promise.reject(new Error("lost")))).rejects.toThrow("lost")
  let done = false
  await acts.once("a", () => Promise.resolve((done = true)))
  expect(done).toBe(true)
})

/** What a page knows when `answer` is asked for, the socket says `said`, and then the answer comes. */
async function overtaken(answer: PageEvent, said: readonly GatewayMessage[]) {
  const learning = new Learning()
  const way = held<PageEvent>()
  const learned = learning.ask(way.promise)
  said.forEach((message) => learning.hear(message))
  const before = said.reduce(reduce, EMPTY)
  way.give(answer)
  const { answer: came, heard } = await learned
  return [came, ...heard].reduce(reduce, before)
}

test("a list that was on its way does not bring back what was recalled meanwhile", async () => {
  const rows = [recipient(TOWN, "signed"), recipient(VILLAGE, "queued")]
  const list = { type: "directives", directives: [directive({ recipients: rows, total: 2 })] } as const
  const state = await overtaken(list, [
    directive({ state: "recalled", total: 2 }),
    { type: "delivery", directive: "d1", recipient: recipient(VILLAGE, "shown") },
  ])
  expect(state.directives.get("d1")?.state).toBe("recalled")
  expect(state.directives.get("d1")?.recipients.map((row) => row.stage)).toEqual(["signed", "shown"])
})

test("nor an alarm that was settled, nor a place that went", async () => {
  const alarms = await overtaken({ type: "alarms", alarms: [alarm()] }, [alarm({ state: "false" })])
  expect(alarms.alarms.get("a1")?.state).toBe("false")
  const places = [place(VILLAGE, null, { online: true, terminals: 1 })]
  const gone = await overtaken({ type: "places", places }, [{ type: "node", node: VILLAGE, online: false, terminals: 0 }])
  expect(gone.places.get(VILLAGE)?.online).toBe(false)
})

test("an answer that never came leaves nothing to remember", async () => {
  const learning = new Learning()
  const way = held<number>()
  const asked = learning.ask(way.promise)
  way.fail(new Error("offline"))
  await expect(asked).rejects.toThrow("offline")
  learning.hear(directive())
  expect((await learning.ask(Promise.resolve(1))).heard).toEqual([])
})

test("what changes ten times while it is read is read once more, and a failure ends nothing", async () => {
  const ways = [held<void>(), held<void>(), held<void>()]
  let asked = 0
  const board = new Rereading(() => ways[asked++]?.promise ?? Promise.reject(new Error("lost")))
  const first = board.ring()
  for (let n = 0; n < 10; n++) await board.ring()
  expect(asked).toBe(1)
  ways[0]?.give()
  ways[1]?.give()
  await first
  expect(asked).toBe(2)
  ways[2]?.give()
  await board.ring()
  await expect(board.ring()).rejects.toThrow("lost")
  await expect(board.ring()).rejects.toThrow("lost")
  expect(asked).toBe(5)
})
