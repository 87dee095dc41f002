import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/deploy/**/*.test.ts"],
    globalSetup: ["test/globalSetup.ts"],
    silent: "passed-only",
    testTimeout: 300_000,
    hookTimeout: 300_000
  }
})
