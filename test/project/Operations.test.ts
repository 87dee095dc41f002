import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parse } from "yaml"

const root = new URL("../..", import.meta.url).pathname
const temporary = () => mkdtempSync(join(tmpdir(), "kube-resource-api-"))

const run = (
  command: ReadonlyArray<string>,
  options: { readonly cwd?: string; readonly env?: Record<string, string> }
) => {
  const [program = "", ...words] = command
  const { status, stderr, stdout } = spawnSync(program, words, {
    cwd: options.cwd ?? root,
    encoding: "utf8",
    env: { HOME: "/nonexistent", PATH: `${root}node_modules/.bin:/usr/bin:/bin`, ...options.env }
  })
  return { status, output: `${stdout}${stderr}` }
}

/** A folder with stub programs of these names. They log their arguments; eksctl also keeps its configuration file. */
const tools = (...names: ReadonlyArray<string>) => {
  const folder = temporary()
  const log = join(folder, "log")
  writeFileSync(log, "")
  for (const name of names) {
    writeFileSync(
      join(folder, name),
      `#!/bin/bash\necho "${name} $*" >>${log}\nif [ "${name} $1" = "aws sts" ]; then echo 123456789012; fi\n` +
        `if [ ${name} = eksctl ]; then cp "$4" ${folder}/config; fi\n`,
      { mode: 0o755 }
    )
  }
  return { folder, config: () => readFileSync(join(folder, "config"), "utf8"), log: () => readFileSync(log, "utf8") }
}

describe("make", () => {
  const help = run(["make", "help"], {}).output

  it("help describes every target in one line", () => {
    const targets = Array.from(
      readFileSync(join(root, "Makefile"), "utf8").matchAll(/^([a-z][a-z0-9_-]*):/gm),
      ([, name]) => name
    )
    assert.isAbove(targets.length, 20)
    for (const target of targets) assert.match(help, new RegExp(`^  ${target} +\\S`, "m"))
  })

  it("workflows use targets that exist", () => {
    const folder = join(root, ".github/workflows")
    const asked = readdirSync(folder).flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8")
      assert.isObject(parse(text), file)
      return Array.from(text.matchAll(/(?:run: |^ +|" )make ((?:[a-z][a-z0-9_-]* ?)+)/gm), ([, words = ""]) => words)
    })
    const targets = asked.flatMap((words) => words.trim().split(" "))
    assert.includeMembers(targets, ["test", "check-deploy", "e2e", "upgrade"])
    for (const target of targets) assert.match(help, new RegExp(`^  ${target} +\\S`, "m"))
  })

  it("push_docker requires DH_USER and a clean tree", () => {
    assert.match(run(["make", "push_docker"], {}).output, /Set DH_USER/)
    const clone = temporary()
    run(["git", "init", "-q", clone], {})
    for (const file of ["Makefile", "scripts"]) cpSync(join(root, file), join(clone, file), { recursive: true })
    const refusal = run(["make", "push_docker", "DH_USER=somebody"], { cwd: clone })
    assert.notStrictEqual(refusal.status, 0)
    assert.match(refusal.output, /The tree is dirty/)
  })
})

describe("the EKS cluster", () => {
  const eks = (command: string, path: string, env: Record<string, string> = {}) =>
    run(["bash", "scripts/eks.sh", command], { env: { PATH: path, ...env } })
  const system = "/usr/bin:/bin"

  it("creation names a missing tool", () => {
    const bare = temporary()
    for (const tool of ["bash", "dirname", "sed", "head", "cat"]) symlinkSync(`/usr/bin/${tool}`, join(bare, tool))
    const { output, status } = eks("create", bare)
    assert.strictEqual(status, 1)
    assert.match(output, /^eksctl is needed and not on the PATH/)
  })

  it("is created in AWS_REGION, by default us-west-2, after a summary", () => {
    const { config, folder, log } = tools("eksctl", "aws", "kubectl")
    const made = eks("create", `${folder}:${system}`, { AWS_REGION: "eu-central-1" })
    assert.strictEqual(made.status, 0, made.output)
    assert.match(made.output, /account 123456789012, region eu-central-1/)
    assert.match(made.output, /3 nodes of type m7i\.large/)
    assert.match(config(), /^ {2}region: eu-central-1$/m)
    assert.match(log(), /eksctl create cluster --config-file/)
    assert.match(log(), /aws eks update-kubeconfig --region eu-central-1 --name kube-resource-api/)
    eks("create", `${folder}:${system}`)
    assert.match(config(), /^ {2}region: us-west-2$/m)
  })

  it("is not created in an invalid region", () => {
    const { folder, log } = tools("eksctl", "aws", "kubectl")
    const { output, status } = eks("create", `${folder}:${system}`, { AWS_REGION: "Frankfurt!" })
    assert.strictEqual(status, 1)
    assert.match(output, /AWS_REGION=Frankfurt!: not the name of a region/)
    assert.strictEqual(log(), "")
  })

  it("is deleted only after a confirmation, or with YES=1", () => {
    const { folder, log } = tools("eksctl", "aws", "kubectl")
    assert.notStrictEqual(eks("delete", `${folder}:${system}`).status, 0)
    assert.notInclude(log(), "eksctl delete")
    assert.strictEqual(eks("delete", `${folder}:${system}`, { YES: "1" }).status, 0)
    assert.include(log(), "eksctl delete cluster --config-file")
  })
})

describe("a release", () => {
  const repository = () => {
    const clone = temporary()
    const git = (...words: ReadonlyArray<string>) =>
      run(["git", "-c", "user.name=test", "-c", "user.email=test@example.com", ...words], { cwd: clone })
    git("init", "-q", "-b", "main")
    const chart = "deploy/helm/kube-resource-api"
    mkdirSync(join(clone, chart), { recursive: true })
    for (const file of ["package.json", "package-lock.json", ".prettierrc.json", "scripts", `${chart}/Chart.yaml`]) {
      cpSync(join(root, file), join(clone, file), { recursive: true })
    }
    git("add", ".")
    git("commit", "-qm", "Serve namespaces")
    git("config", "user.name", "test")
    git("config", "user.email", "test@example.com")
    const release = (version: string) => run(["bash", "scripts/release.sh", version], { cwd: clone })
    return { chart: () => readFileSync(join(clone, chart, "Chart.yaml"), "utf8"), clone, git, release }
  }

  it("sets the version in package, lock file and chart, writes the changelog and tags the commit", () => {
    const { chart, clone, git, release } = repository()
    const first = release("1.2.0")
    assert.strictEqual(first.status, 0, first.output)
    writeFileSync(join(clone, "more"), "")
    git("add", ".")
    git("commit", "-qm", "Serve more")
    assert.strictEqual(release("1.3.0").status, 0)
    for (const file of ["package.json", "package-lock.json"]) {
      assert.include(readFileSync(join(clone, file), "utf8"), '"version": "1.3.0"')
    }
    assert.match(chart(), /^version: 1\.3\.0\nappVersion: 1\.3\.0$/m)
    assert.match(
      readFileSync(join(clone, "CHANGELOG.md"), "utf8"),
      /^# Changelog\n\n## 1\.3\.0 \(\d{4}-\d\d-\d\d\)\n\n- Serve more\n\n## 1\.2\.0 \(\d{4}-\d\d-\d\d\)\n\n- Serve namespaces\n$/
    )
    assert.match(git("tag").output, /^v1\.2\.0\nv1\.3\.0\n$/)
    assert.strictEqual(git("status", "--porcelain").output, "")
  })

  it("is refused for a dirty tree, an invalid version and an existing version", () => {
    const { clone, release } = repository()
    assert.match(release("one").output, /VERSION=one: not a version/)
    assert.strictEqual(release("1.2.0").status, 0)
    assert.match(release("1.2.0").output, /there is such a release already/)
    assert.match(release("1.2.1").output, /Nothing was committed since v1\.2\.0/)
    writeFileSync(join(clone, "more"), "")
    assert.match(release("1.3.0").output, /The tree is dirty/)
  })
})
