import { configDefaults, defineConfig } from "vitest/config"

// These run when the others are done. The first two check times of failovers and heartbeats in real time, and need little
// of the machine. The last one floods a service, which takes all of it.
const timed = ["test/shared/Convergence.test.ts", "test/shared/redis/Sentinels.test.ts"]
const alone = ["test/integration/Hostile.test.ts"]

export default defineConfig({
  test: {
    globalSetup: ["test/globalSetup.ts"],
    silent: "passed-only",
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, "test/deploy/**", ...timed, ...alone],
          // Most of them wait for something most of the time, and not for the processor.
          maxWorkers: 4,
          sequence: { groupOrder: 0 }
        }
      },
      { extends: true, test: { name: "timed", include: timed, maxWorkers: 2, sequence: { groupOrder: 1 } } },
      { extends: true, test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 2 } } }
    ]
  }
})
