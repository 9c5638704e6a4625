import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { ApiError } from "../src/api"
import { MAX_PICTURES, Pictures } from "../src/pictures"

let open: Set<string>
let made = 0

beforeEach(() => {
  vi.useFakeTimers()
  open = new Set()
  vi.stubGlobal("URL", {
    createObjectURL: () => {
      const url = `blob:${made++}`
      open.add(url)
      return url
    },
    revokeObjectURL: (url: string) => open.delete(url),
  })
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe("pictures", () => {
  test("are fetched once and then there", async () => {
    const fetched = vi.fn(() => Promise.resolve(new Blob()))
    const pictures = new Pictures(fetched)
    expect(pictures.url("a")).toBeNull()
    expect(pictures.url("a")).toBeNull()
    await vi.advanceTimersByTimeAsync(0)
    expect(pictures.url("a")).toMatch(/^blob:/)
    expect(fetched).toHaveBeenCalledTimes(1)
  })

  test("of a whole shift hold no more memory than the newest ones", async () => {
    const pictures = new Pictures(() => Promise.resolve(new Blob()))
    for (let index = 0; index < 5 * MAX_PICTURES; index++) pictures.url(`p${index}`)
    await vi.advanceTimersByTimeAsync(0)
    expect(open.size).toBe(MAX_PICTURES)
  })

  test("that are still on their way are asked for again", async () => {
    let tries = 0
    const pictures = new Pictures(() => {
      tries++
      return tries < 3 ? Promise.reject(new ApiError("blob-pending", 404, "")) : Promise.resolve(new Blob())
    })
    pictures.url("a")
    await vi.advanceTimersByTimeAsync(10_000)
    expect(pictures.url("a")).toMatch(/^blob:/)
  })

  test("one may not see are asked for once", async () => {
    const fetched = vi.fn(() => Promise.reject(new ApiError("not-permitted", 403, "")))
    const pictures = new Pictures(fetched)
    pictures.url("a")
    await vi.advanceTimersByTimeAsync(60_000)
    expect(pictures.url("a")).toBeNull()
    expect(fetched).toHaveBeenCalledTimes(1)
  })
})
