/** Preloaded into a measured process: collects garbage at SIGUSR2, so that resident memory can be compared. */
process.on("SIGUSR2", () => globalThis.gc?.())
