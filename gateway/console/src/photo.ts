/** A photo small enough to travel up five tiers, and without the data cameras hide in it. */

const MAX_SIDE = 1600
const QUALITY = 0.85

/** Re-draw a chosen file as JPEG; throws when it is not a picture. */
export async function fromFile(file: File): Promise<Blob> {
  const bitmap = await createImageBitmap(file)
  try {
    return await draw(bitmap, bitmap.width, bitmap.height)
  } finally {
    bitmap.close()
  }
}

/** The picture a video element shows now. */
export function fromVideo(video: HTMLVideoElement): Promise<Blob> {
  return draw(video, video.videoWidth, video.videoHeight)
}

function draw(source: CanvasImageSource, width: number, height: number): Promise<Blob> {
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height, 1))
  const canvas = document.createElement("canvas")
  canvas.width = Math.max(1, Math.round(width * scale))
  canvas.height = Math.max(1, Math.round(height * scale))
  canvas.getContext("2d")?.drawImage(source, 0, 0, canvas.width, canvas.height)
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob === null ? reject(new Error("no picture")) : resolve(blob)), "image/jpeg", QUALITY),
  )
}
