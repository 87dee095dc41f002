import { configDefaults, defineConfig } from "vitest/config"

// What floods a service takes all of the machine: it runs by itself, when the others are done.
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
