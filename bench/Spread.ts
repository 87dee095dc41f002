/** The value that the share `q` of `values` is below. */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

/** The median of `values`. */
export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** The median, and the range if there are several values. */
export const spread = (values: ReadonlyArray<number>, digits = 1): string => {
  const text = (value: number) => value.toFixed(digits)
  return values.length < 2
    ? text(median(values))
    : `${text(median(values))} (${text(Math.min(...values))}..${text(Math.max(...values))})`
}

/** Each value of `a` divided by the value of `b` in the same round. */
export const ratios = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): ReadonlyArray<number> =>
  a.map((value, round) => value / (b[round] ?? Number.NaN))

/** One field of each result. */
export const figures = <K extends string>(
  results: ReadonlyArray<Readonly<Record<K, number>>>,
  figure: K
): ReadonlyArray<number> => results.map((result) => result[figure])
