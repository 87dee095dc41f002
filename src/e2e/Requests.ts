/** The requests of the suite, and the checks of their responses. */
import { Effect, Schema } from "effect"
import { type Check, expect, expectSame, LeftOut } from "./Check.ts"
import type { ScratchCluster } from "./ScratchCluster.ts"
import { type Answer, type Question, ServiceUnderTest } from "./ServiceUnderTest.ts"
import { settings } from "./Settings.ts"

/** The namespaces that the suite creates. */
export interface Scratch {
  /** Holds `kafka` with 3 replicas, `nginx` with 2 and `resource.access` with the cluster's default. */
  readonly one: string
  /** Holds `nginx` with 5 replicas. */
  readonly two: string
  readonly empty: string
  /** The name of a namespace that does not exist. */
  readonly absent: string
  readonly patienceMillis: number
}

/** The parameters of the checks. */
export type Services = ServiceUnderTest | ScratchCluster
export type Checks = ReadonlyArray<Check<Services>>

/** Sends a request to the service. */
export const ask = (path: string, question?: Question) =>
  Effect.flatMap(ServiceUnderTest, (service) => service.ask(path, question))

/** The response to a client that may do nothing; left out without its certificate. */
export const ofDenied = Effect.fnUntraced(function* (path: string, question: Question = {}) {
  const service = yield* ServiceUnderTest
  if (!service.knows("denied")) {
    const { deniedCertFile, deniedKeyFile } = settings
    return yield* new LeftOut({ message: `set ${deniedCertFile.name} and ${deniedKeyFile.name}` })
  }
  return yield* service.ask(path, { ...question, as: "denied" })
})

const Problem = Schema.fromJsonString(
  Schema.Struct({
    type: Schema.String,
    title: Schema.String,
    status: Schema.Number,
    detail: Schema.String,
    instance: Schema.String,
    code: Schema.String
  })
)
const decodeProblem = Schema.decodeUnknownEffect(Problem)

const textOf = ({ body, status }: Answer) => `${status} ${body.slice(0, 500)}`

/** Checks the status of a response. */
export const expectStatus = (answer: Answer, status: number) =>
  expect(answer.status === status, `expected ${status}, got ${textOf(answer)}`)

/** Checks that a response is the problem with this status and code, and does not reveal internals of the service. */
export const expectProblem = Effect.fnUntraced(function* (answer: Answer, status: number, code: string) {
  yield* expectStatus(answer, status)
  yield* expectSame("Content-Type", answer.headers["content-type"], "application/problem+json")
  const problem = yield* Effect.mapError(decodeProblem(answer.body), (error) => new Error(error.message))
  yield* expectSame("code, status", [problem.code, problem.status], [code, status])
  yield* expectSame("instance", problem.instance, answer.headers["x-request-id"])
  yield* expect(!/node_modules|\.[cm]?[jt]s:\d|\n\s+at /.test(answer.body), `reveals internals: ${answer.body}`)
})

/** A check for each request that fails with this problem. */
export const problem = (
  row: string,
  code: string,
  cases: ReadonlyArray<readonly [path: string, question?: Question, says?: string]>
): Checks =>
  cases.map(([path, question = {}, says]) => ({
    row,
    says: `${says ?? `${question.method ?? "GET"} ${path.length > 90 ? `${path.slice(0, 90)}...` : path}`}: ${code}`,
    run: Effect.flatMap(ask(path, question), (answer) => expectProblem(answer, Number(row), code))
  }))

/** The path of a replica count. */
export const count = (namespace: string, deployment: string) =>
  `/namespaces/${namespace}/deployments/${deployment}/replica_count`

/** The body of a replica count. */
export const one = (namespace: string, deployment: string, replica_count: number) => ({
  namespace,
  deployment,
  replica_count
})
