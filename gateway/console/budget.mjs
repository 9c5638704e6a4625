/** The terminal page must load over 64 kbit/s: at most 150 kB gzipped, everything it fetches counted. */
import { readFileSync } from "node:fs"
import { gzipSync } from "node:zlib"

const LIMIT_BYTES = 150_000
const seen = new Map()

function weigh(path) {
  if (seen.has(path)) return
  const bytes = readFileSync(`dist/${path}`)
  seen.set(path, gzipSync(bytes).length)
  if (/\.(html|js|css)$/.test(path))
    for (const [, found] of bytes.toString().matchAll(/["'(](?:\.?\/)?(assets\/[\w.-]+|[\w.-]+\.(?:js|css|svg))["')]/g)) {
      const asset = found.startsWith("assets/") ? found : found.endsWith(".svg") ? found : `assets/${found}`
      weigh(asset)
    }
}

weigh("terminal.html")
const total = [...seen.values()].reduce((sum, size) => sum + size, 0)
console.log(`terminal page: ${total} bytes gzipped in ${seen.size} files, limit ${LIMIT_BYTES}`)
if (total > LIMIT_BYTES) process.exit(1)
