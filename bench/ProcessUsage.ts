/** What a process has used, as the kernel counts it. */
import { readdirSync, readFileSync } from "node:fs"

/** CPU time of a process so far, all its threads together, in microseconds, as exact as the kernel's scheduler has it. */
export const cpuMicros = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1000,
    0
  )

const statusMegabytes = (pid: number, field: string): number =>
  Number(new RegExp(`${field}:\\s*([0-9]+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

/** Memory that a process has in use now, in MiB. */
export const residentMegabytes = (pid: number): number => statusMegabytes(pid, "VmRSS")

/** The most memory that a process has had in use, in MiB. */
export const peakMegabytes = (pid: number): number => statusMegabytes(pid, "VmHWM")
