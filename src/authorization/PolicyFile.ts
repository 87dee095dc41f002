import * as YamlFile from "../settings/YamlFile.ts"
import { Policy } from "./Policy.ts"

/** The largest policy file, in bytes: some thousand rules. Parsing one blocks requests for up to a second. */
export const maxPolicyBytes = 262_144

/** `decodePolicy` decodes a policy from YAML or JSON, `loadPolicy` reads and decodes a policy file. */
export const { decode: decodePolicy, load: loadPolicy } = YamlFile.make(Policy, maxPolicyBytes)
