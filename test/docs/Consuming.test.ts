import { fileURLToPath } from "node:url"
import { behave } from "../support/Consumers.ts"

const python = fileURLToPath(new URL("../../.dev/python/python3", import.meta.url))

behave(
  { name: "consumer-effect.ts", command: [process.execPath] },
  {
    name: "consumer.ts",
    command: [process.execPath],
    silence: ["longestSilence = 45_000", "longestSilence = 1000"]
  },
  { name: "consumer.py", command: [python], silence: ["SILENCE = 45", "SILENCE = 1"] }
)
