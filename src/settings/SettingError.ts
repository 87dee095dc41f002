import { Schema } from "effect"

/**
 * A setting that the service cannot start with: which one, the value it has (never a secret), what is wrong with it and
 * what to do about it. The message is one line for a person.
 */
export class SettingError extends Schema.TaggedError<SettingError>()("SettingError", {
  setting: Schema.String,
  value: Schema.UndefinedOr(Schema.String),
  problem: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `${this.setting}${this.value === undefined ? " (not set)" : `=${this.value}`}: ${this.problem}. ${this.fix}`
  }
}
