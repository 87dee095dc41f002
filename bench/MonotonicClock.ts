/** Microseconds of the machine's monotonic clock, which is the same for all its processes. */
export const monotonicMicros = (): number => Number(process.hrtime.bigint() / 1000n)
