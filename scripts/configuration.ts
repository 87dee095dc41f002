/** Writes docs/configuration.md's table from the settings' own descriptions. */
import { readFileSync, writeFileSync } from "node:fs"
import { markdown } from "../src/Config.ts"

const path = new URL("../docs/configuration.md", import.meta.url)
const [before = "", after = ""] = readFileSync(path, "utf8").split(/<!-- settings -->[\s\S]*<!-- end of settings -->/)
writeFileSync(path, `${before}<!-- settings -->\n\n${markdown()}\n\n<!-- end of settings -->${after}`)
