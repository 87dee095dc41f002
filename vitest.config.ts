import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/deploy/**"],
    globalSetup: ["test/globalSetup.ts"],
    silent: "passed-only",
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
