#!/usr/bin/env bash
# Makes the commit and the tag of a release: sets the version in every file that has one, and adds the commits since the last
# release to CHANGELOG.md.
#   release.sh 1.2.3
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-}
if ! [[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]+)?$ ]]; then
  echo "VERSION=$version: not a version. Set it to one such as 1.2.3." >&2
  exit 1
fi
if [ -n "$(git status --porcelain)" ]; then
  echo "The tree is dirty: a release is made only from commits. Commit or stash first." >&2
  exit 1
fi
if git rev-parse -q --verify "refs/tags/v$version" >/dev/null; then
  echo "VERSION=$version: there is such a release already. Choose another." >&2
  exit 1
fi

last=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
changes=$(git log --no-merges --reverse --format='- %s' ${last:+"$last.."}HEAD)
if [ -z "$changes" ]; then
  echo "Nothing was committed since $last." >&2
  exit 1
fi

npm version --no-git-tag-version --allow-same-version "$version" >/dev/null
chart=deploy/helm/kube-resource-api/Chart.yaml
sed -i.bak -E "s/^(version|appVersion): .*/\1: $version/" "$chart" && rm "$chart.bak"
heading="# Changelog"
older=$([ ! -f CHANGELOG.md ] || tail -n +2 CHANGELOG.md)
printf '%s\n\n## %s (%s)\n\n%s\n%s\n' "$heading" "$version" "$(date -u +%Y-%m-%d)" "$changes" "$older" >CHANGELOG.md
prettier --write --log-level warn CHANGELOG.md "$chart" package.json

git add CHANGELOG.md "$chart" package.json package-lock.json
git commit -q -m "Release $version"
git tag -a "v$version" -m "Version $version"
echo "Committed and tagged v$version"
