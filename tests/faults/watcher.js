// What the report's two pages do: one publishes pictures that carry their own birth time, the other reads it back.
// A picture's top strip is CELLS black or white cells: 1, 0, then 16 bits of Date.now() and 4 of their sum.
const CELLS = 22, STRIP = 8

function sum(stamp) {
  return (stamp ^ (stamp >> 4) ^ (stamp >> 8) ^ (stamp >> 12)) & 15
}

function drawStamp(pen, width, height, now) {
  const stamp = now & 0xffff
  const bits = (((2 << 16) | stamp) << 4) | sum(stamp)
  for (let i = 0; i < CELLS; i++) {
    pen.fillStyle = (bits >> (CELLS - 1 - i)) & 1 ? '#fff' : '#000'
    pen.fillRect(Math.floor((i * width) / CELLS), 0, Math.ceil(width / CELLS), height / STRIP)
  }
}

// The birth time of a picture, from one row of its brightness across the strip; null if that is damaged.
function readStamp(luma, width) {
  let bits = 0
  for (let i = 0; i < CELLS; i++) {
    const from = Math.ceil(((i + 0.3) * width) / CELLS), to = Math.max(from + 1, Math.floor(((i + 0.7) * width) / CELLS))
    let light = 0
    for (let x = from; x < to; x++) light += luma[x]
    bits = (bits << 1) | (light / (to - from) > 127 ? 1 : 0)
  }
  const stamp = (bits >> 4) & 0xffff
  return bits >> 20 === 2 && sum(stamp) === (bits & 15) ? stamp : null
}

async function negotiate(pc, { url, token, from, to }) {
  await pc.setLocalDescription(await pc.createOffer())
  const began = performance.now()
  const ask = () => fetch(url, { method: 'POST', body: pc.localDescription.sdp,
    headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` } })
  let reply = await ask()
  while (reply.status === 503) { // a gateway whose machine is busy says when to come back
    await new Promise((done) => setTimeout(done, 1000 * Number(reply.headers.get('Retry-After'))))
    reply = await ask()
  }
  const sdp = await reply.text()
  if (reply.status !== 201) throw new Error(`${reply.status} ${sdp}`)
  window.resource = { url: new URL(reply.headers.get('Location'), url).href, token }
  // Which way the media take: straight to the gateway, or by the network in front of it.
  await pc.setRemoteDescription({ type: 'answer', sdp: sdp.replaceAll(` ${from} typ host`, ` ${to} typ host`) })
  return began
}

async function publish(options) {
  const { width, height, fps } = options
  const canvas = new OffscreenCanvas(width, height)
  const pen = canvas.getContext('2d')
  const track = new MediaStreamTrackGenerator({ kind: 'video' })
  const writer = track.writable.getWriter()
  let count = 0, born = 0
  window.pictures = setInterval(() => {
    paint(pen, width, height, count++)
    born = Math.max(born + 1, Date.now()) // no two pictures of one birth
    drawStamp(pen, width, height, born)
    const frame = new VideoFrame(canvas, { timestamp: performance.now() * 1000 })
    writer.write(frame).catch(() => clearInterval(window.pictures))
  }, 1000 / fps)
  const pc = (window.pc = new RTCPeerConnection())
  const stream = new MediaStream([track])
  pc.addTransceiver(tone(), { direction: 'sendonly', streams: [stream] })
  const video = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream], sendEncodings: [
    { rid: 'q', scaleResolutionDownBy: 4 }, { rid: 'h', scaleResolutionDownBy: 2 }, { rid: 'f' }] })
  const wanted = new Set([`video/${options.codec}`, 'video/rtx'])
  video.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter((c) => wanted.has(c.mimeType)))
  await negotiate(pc, options)
}

// A scene that costs bits: bars that move at different speeds, over a changing ground.
function paint(pen, width, height, count) {
  pen.fillStyle = `hsl(${count % 360} 40% 50%)`
  pen.fillRect(0, 0, width, height)
  for (let i = 0; i < 24; i++) {
    pen.fillStyle = `hsl(${(i * 47) % 360} 70% ${30 + (i * 13) % 50}%)`
    pen.fillRect((count * (3 + i) + i * 61) % width, height / STRIP + ((i * 29) % (height * 0.8)), 40 + i * 3, 30 + i * 2)
  }
}

// Two tones that beat: never silent, so that what is concealed is counted.
function tone() {
  const context = new AudioContext()
  const out = context.createMediaStreamDestination()
  for (const hertz of [330, 447]) {
    const source = new OscillatorNode(context, { frequency: hertz })
    source.connect(new GainNode(context, { gain: 0.2 })).connect(out)
    source.start()
  }
  return out.stream.getAudioTracks()[0]
}

async function view(options) {
  const pc = (window.pc = new RTCPeerConnection())
  window.pictures = []
  pc.ontrack = ({ track }) => {
    if (track.kind === 'video') read(track)
    else document.body.append(Object.assign(document.createElement('audio'), { autoplay: true, srcObject: new MediaStream([track]) }))
  }
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' })
  window.began = performance.now()
  await negotiate(pc, options)
}

// Each decoded picture as [ms since we asked, ms since its birth (null: unreadable), its stamp, its height].
async function read(track) {
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 30 }).readable.getReader()
  for (;;) {
    const { value: frame, done } = await reader.read()
    if (done) return
    const now = Date.now(), at = performance.now() - window.began
    const width = frame.displayWidth, height = frame.displayHeight
    // Decoded pictures are I420 or NV12: brightness is the first plane, and two rows of it are enough.
    const rect = { x: 0, y: 2 * Math.floor(height / STRIP / 4), width, height: 2 }
    const rows = new Uint8Array(frame.allocationSize({ rect }))
    const [plane] = await frame.copyTo(rows, { rect })
    frame.close()
    const stamp = readStamp(rows.subarray(plane.offset), width)
    window.pictures.push([at, stamp === null ? null : (now - stamp) & 0xffff, stamp, height])
  }
}

const AUDIO = ['totalSamplesReceived', 'concealedSamples', 'silentConcealedSamples', 'concealmentEvents',
  'jitterBufferDelay', 'jitterBufferEmittedCount', 'packetsReceived', 'packetsLost']
const VIDEO = ['freezeCount', 'totalFreezesDuration', 'framesDecoded', 'keyFramesDecoded', 'frameHeight', 'bytesReceived',
  'packetsReceived', 'packetsLost', 'nackCount', 'pliCount']

async function sample() {
  const found = { at_ms: performance.now() - window.began, audio: {}, video: {} }
  for (const row of (await window.pc.getStats()).values())
    if (row.type === 'inbound-rtp')
      for (const key of row.kind === 'audio' ? AUDIO : VIDEO) found[row.kind][key] = row[key] ?? 0
  return found
}

async function sent() {
  return [...(await window.pc.getStats()).values()].filter((row) => row.type === 'outbound-rtp' && row.kind === 'video')
    .map((row) => ({ rid: row.rid, frames: row.framesEncoded ?? 0, height: row.frameHeight ?? 0, limit: row.qualityLimitationReason }))
}

async function leave() {
  clearInterval(window.pictures)
  window.pc.close()
  await fetch(window.resource.url, { method: 'DELETE', headers: { Authorization: `Bearer ${window.resource.token}` } })
}
