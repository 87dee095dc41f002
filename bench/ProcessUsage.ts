/** Resource usage of a process from the kernel. */
import { readdirSync, readFileSync } from "node:fs"

/** CPU microseconds of all threads of a process so far, from the kernel's scheduler. */
export const cpuMicros = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, task) => sum + Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1000,
    0
  )

const statusMegabytes = (pid: number, field: string): number =>
  Number(new RegExp(`${field}:\\s*([0-9]+)`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024

/** Resident memory of a process in MiB. */
export const residentMegabytes = (pid: number): number => statusMegabytes(pid, "VmRSS")

/** Peak resident memory of a process in MiB. */
export const peakMegabytes = (pid: number): number => statusMegabytes(pid, "VmHWM")
