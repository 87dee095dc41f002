import { defineConfig } from "vitest/config"

/** The checks of image and chart, with the real tools: slower, and run by `make check-deploy`. */
export default defineConfig({
  test: {
    include: ["test/deploy/*.test.ts"],
    globalSetup: ["test/globalSetup.ts"],
    silent: "passed-only",
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 600_000
  }
})
