/** Degrees to the plane of a small map. Pure; good for an area of a few hundred kilometres. */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface Degrees {
  readonly longitude: number
  readonly latitude: number
}

export type Projection = (at: Degrees) => Point

/**
 * Fit `places` into `width` x `height` pixels with `margin` around, keeping distances true.
 *
 * Equirectangular about the middle latitude: a degree of longitude is cos(latitude) of a degree of latitude.
 */
export function fit(places: readonly Degrees[], width: number, height: number, margin: number): Projection {
  const middle = (values: number[]): number => (values.length === 0 ? 0 : (Math.min(...values) + Math.max(...values)) / 2)
  const span = (values: number[]): number => (values.length === 0 ? 0 : Math.max(...values) - Math.min(...values))
  const longitudes = places.map((place) => place.longitude)
  const latitudes = places.map((place) => place.latitude)
  const [longitude, latitude] = [middle(longitudes), middle(latitudes)]
  const squeeze = Math.cos((latitude * Math.PI) / 180)
  const room = (pixels: number): number => Math.max(1, pixels - 2 * margin)
  const widest = Math.max(span(longitudes) * squeeze, 1e-6)
  const scale = Math.min(room(width) / widest, room(height) / Math.max(span(latitudes), 1e-6), 1e5)
  return (at) => ({
    x: width / 2 + (at.longitude - longitude) * squeeze * scale,
    y: height / 2 - (at.latitude - latitude) * scale,
  })
}
