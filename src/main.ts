/** The entry point: prepares V8, then loads the program. */
import { setFlagsFromString } from "node:v8"

// Keeps V8's young generation small, so that the buffers of a list are freed early and cheaply. The flag works only before
// the heap has grown, hence the import below. docs/decisions/0008-small-young-generation.md explains and measures this.
setFlagsFromString("--semi-space-growth-factor=1")
await import("./Program.ts")
