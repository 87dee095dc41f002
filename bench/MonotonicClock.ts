/** Microseconds of the monotonic clock, which all processes of the machine share. */
export const monotonicMicros = (): number => Number(process.hrtime.bigint() / 1000n)
