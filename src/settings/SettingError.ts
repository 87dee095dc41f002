import { Data } from "effect"

/**
 * A setting that the program cannot start with. The message is one line for a person: it names the setting, its value
 * (never a secret), the problem and the fix.
 */
export class SettingError extends Data.TaggedError("SettingError")<{
  readonly setting: string
  readonly value: string | undefined
  readonly problem: string
  readonly fix: string
}> {
  override get message(): string {
    return `${this.setting}${this.value === undefined ? " (not set)" : `=${this.value}`}: ${this.problem}. ${this.fix}`
  }
}
