#!/usr/bin/env bash
# Creates or deletes the EKS cluster of deploy/eks/cluster.yaml with eksctl, in AWS_REGION (default: us-west-2).
#   eks.sh create
#   eks.sh delete     asks for the name of the cluster first; YES=1 skips the question
set -euo pipefail
command=${1:?usage: eks.sh create|delete}
cd "$(dirname "$0")/.."
region=${AWS_REGION:-us-west-2}
config=deploy/eks/cluster.yaml
name=$(sed -n 's/^  name: //p' "$config" | head -1)

case "$region" in
  *[!a-z0-9-]* | '') echo "AWS_REGION=$region: not the name of a region. Set it to one such as us-west-2." >&2 && exit 1 ;;
esac
for tool in eksctl aws kubectl; do
  if ! command -v "$tool" >/dev/null; then
    echo "$tool is needed and not on the PATH: docs/install.md links to it." >&2
    exit 1
  fi
done
if ! account=$(aws sts get-caller-identity --query Account --output text 2>&1); then
  echo "AWS does not accept your credentials: run \`aws configure\` or \`aws sso login\` first. It said: $account" >&2
  exit 1
fi

given=$(mktemp)
trap 'rm -f "$given"' EXIT
sed "s/^  region: .*/  region: $region/" "$config" >"$given"

case "$command" in
  create)
    cat <<EOF
Creating, in account $account, region $region (about 20 minutes; it costs money until \`make delete_cluster\`):
  - the EKS cluster $name, Kubernetes $(sed -n 's/^  version: "\(.*\)"/\1/p' "$config"), in a VPC of its own with one NAT gateway
  - $(sed -n 's/^    desiredCapacity: //p' "$config") nodes of type $(sed -n 's/^    instanceType: //p' "$config"), without public addresses
  - a context for it in $(echo "${KUBECONFIG:-$HOME/.kube/config}" | cut -d: -f1), made the current one
EOF
    eksctl create cluster --config-file "$given"
    aws eks update-kubeconfig --region "$region" --name "$name"
    kubectl get nodes
    ;;
  delete)
    echo "Deleting, in account $account, region $region: the EKS cluster $name, its nodes, its VPC and its workloads."
    if [ "${YES:-}" != 1 ]; then
      read -r -p "Enter its name to continue: " answer
      [ "$answer" = "$name" ] || { echo "Not deleted." >&2 && exit 1; }
    fi
    eksctl delete cluster --config-file "$given" --wait --disable-nodegroup-eviction
    ;;
  *)
    echo "usage: eks.sh create|delete" >&2
    exit 1
    ;;
esac
