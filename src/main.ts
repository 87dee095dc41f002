/** The entry point: prepares V8, then loads the program. */
import { setFlagsFromString } from "node:v8"

// The young generation stays small. By default it grows while the program loads, and collections become rare. Then the
// buffers that a list of the cluster arrives in outlive their use, until V8 collects all of its heap for each 64 MB of them.
// Reads cost the same either way. The flag works only before the heap has grown, hence the import below.
// docs/decisions/0008-small-young-generation.md has the measurements.
setFlagsFromString("--semi-space-growth-factor=1")
await import("./Program.ts")
