/**
 * Line plots as SVG files in docs/plots. `vega-lite` with `vega` would draw them too, but adds 79 packages to the lock file
 * for these hundred lines.
 */
import { Effect } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { isQuick } from "./Report.ts"

/** A line and its points in order. */
export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** The labels of the axes. The x axis is logarithmic. The y axis is logarithmic with `logY`, else starts at 0. */
export interface Axes {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly logY?: boolean
}

const width = 640
const height = 380
const box = { left: 70, right: 620, top: 50, bottom: 310 }
// Distinguishable with colour blindness.
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]

const short = (value: number): string => {
  const [factor, unit] = value >= 1e6 ? [1e6, "M"] : value >= 1000 ? [1000, "k"] : [1, ""]
  return `${Number((value / factor).toPrecision(3))}${unit}`
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const text = (x: number, y: number, anchor: "start" | "middle" | "end", content: string, extra = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${extra}>${escape(content)}</text>`

/** The round distance of ticks that divides an axis up to `value` into about five parts. */
const step = (value: number): number => {
  const power = 10 ** Math.floor(Math.log10(value / 5))
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round * 5 >= value) ?? value
}

const powersOfTen = (low: number, high: number): ReadonlyArray<number> => {
  const first = Math.floor(Math.log10(low))
  return Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, index) => 10 ** (first + index))
}

/** Renders a plot as SVG. */
export const svg = ({ logY = false, title, x, y }: Axes, series: ReadonlyArray<Series>): string => {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b)
  const ys = series.flatMap(({ points }) => points.map(([, at]) => at))
  const [minX, maxX] = [Math.min(...xs), Math.max(...xs)]
  const maxY = Math.max(...ys)
  const ticks = logY
    ? powersOfTen(Math.min(...ys), maxY)
    : Array.from({ length: Math.ceil(maxY / step(maxY)) + 1 }, (_, index) => index * step(maxY))
  const [low = 0, high = 1] = [ticks[0], ticks.at(-1)]
  const along = (from: number, to: number, value: number) => (to === from ? 0.5 : (value - from) / (to - from))
  const toX = (value: number) =>
    box.left + 20 + (box.right - box.left - 40) * along(Math.log(minX), Math.log(maxX), Math.log(value))
  const toY = (value: number) =>
    box.bottom -
    (box.bottom - box.top) * (logY ? along(Math.log(low), Math.log(high), Math.log(value)) : along(low, high, value))
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#333">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(width / 2, 24, "middle", title, ` font-size="15" font-weight="bold"`),
    ...ticks.flatMap((tick) => [
      `<path d="M${box.left} ${toY(tick).toFixed(1)}H${box.right}" stroke="#ddd"/>`,
      text(box.left - 8, toY(tick) + 4, "end", short(tick))
    ]),
    ...xs.map((at) => text(toX(at), box.bottom + 18, "middle", short(at))),
    text((box.left + box.right) / 2, box.bottom + 36, "middle", x),
    text(16, (box.top + box.bottom) / 2, "middle", y, ` transform="rotate(-90 16 ${(box.top + box.bottom) / 2})"`),
    ...series.flatMap(({ name, points }, index) => {
      const colour = colours[index % colours.length] ?? "#333"
      const at = points.map(([px, py]) => `${toX(px).toFixed(1)} ${toY(py).toFixed(1)}`)
      const legend = box.left + ((box.right - box.left) / series.length) * index
      return [
        `<path d="M${at.join("L")}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...points.map(
          ([px, py]) => `<circle cx="${toX(px).toFixed(1)}" cy="${toY(py).toFixed(1)}" r="3.5" fill="${colour}"/>`
        ),
        `<circle cx="${legend + 6}" cy="${height - 14}" r="5" fill="${colour}"/>`,
        text(legend + 16, height - 10, "start", name)
      ]
    }),
    "</svg>"
  ]
  return `${lines.join("\n")}\n`
}

/** Writes docs/plots/`name`.svg, or .dev/plots/`name`.svg for a quick run. */
export const plot = Effect.fnUntraced(function* (name: string, axes: Axes, series: ReadonlyArray<Series>) {
  const folder = new URL((yield* isQuick) ? "../.dev/plots/" : "../docs/plots/", import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL(`${name}.svg`, folder), svg(axes, series))
})
