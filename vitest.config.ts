import { configDefaults, defineConfig } from "vitest/config"

// These run by themselves, when the others are done: one floods a service, which takes all of the machine, and the others
// check times of failovers and heartbeats in real time.
const alone = [
  "test/integration/Hostile.test.ts",
  "test/shared/Convergence.test.ts",
  "test/shared/redis/Sentinels.test.ts"
]

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
          exclude: [...configDefaults.exclude, "test/deploy/**", ...alone],
          // Most of them wait for something most of the time, and not for the processor.
          maxWorkers: 4,
          sequence: { groupOrder: 0 }
        }
      },
      { extends: true, test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } } }
    ]
  }
})
