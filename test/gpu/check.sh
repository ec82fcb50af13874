#!/usr/bin/env bash
# Part of the Weft Project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# What is checked and measured on a machine with a GPU. scripts/gpu-check makes the folder that this runs in:
# bin/ with the programs, peers/ with the comparisons.
#
#   ./check.sh [FOLDER]     logs go to FOLDER, default ./logs

set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
logs=${1:-$here/logs}
mkdir -p "$logs"
export LD_LIBRARY_PATH=$here/bin${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset WEFT_CUDA_DRIVER

if ! gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || [[ -z $gpu ]]; then
  echo "NO GPU: nothing was checked and nothing was measured" >&2
  exit 2
fi
echo "on $gpu"

failed=0
rows=()
# has_all LOG PATTERNS: whether the log has a line for each pattern; PATTERNS has one a line.
has_all() {
  local pattern
  while read -r pattern; do
    grep -Eq -- "$pattern" "$1" || return 1
  done <<<"$2"
}

# step NAME LIMIT VERDICT COMMAND...: VERDICT are the patterns that the log of a good run has.
step() {
  local name=$1 limit=$2 verdict=$3 begin=$SECONDS status=0 result
  shift 3
  timeout "$limit" "$@" >"$logs/$name.log" 2>&1 || status=$?
  if ((status == 0)) && has_all "$logs/$name.log" "$verdict"; then
    result=ok
  else
    result="FAILED (status $status)" failed=1
  fi
  rows+=("$(printf '%-17s %-22s %4d s' "$name" "$result" $((SECONDS - begin)))")
}

tests=$here/bin/GPUTest
# A step whose filter matches no test, or whose tests are all skipped, has not passed.
passed='PASSED  \] [1-9][0-9]* test'
step differential 600 "$passed" \
  env WEFT_TEST_PROGRAMS="${WEFT_TEST_PROGRAMS:-300}" "$tests" --gtest_filter='GPUDifferentialTest.*'
step kernel 120 "$passed" "$tests" --gtest_filter='GPUKernelTest.*'
step capture 120 "$passed" "$tests" --gtest_filter='GPUCaptureTest.*'
step lists 60 "$passed" "$tests" --gtest_filter='GPUListCacheTest.*'
step masks 120 "$passed" "$tests" --gtest_filter='GPUMasksTest.*'
step reuse 300 "$passed" "$tests" --gtest_filter='GPUReuseTest.*'
step stages 120 "$passed" "$tests" --gtest_filter='GPUStagesTest.*'
step sorted-tokens 120 "$passed" "$tests" --gtest_filter='GPUSortedTokensTest.*'
step row-selection 120 "$passed" "$tests" --gtest_filter='GPURowSelectionTest.*'
step recognition 120 "$passed" "$tests" --gtest_filter='GPURecognitionTest.*'
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
if [[ -x $sanitizer ]]; then
  clean='(ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards)'
  # Bits, selected rows, reuse of channels and of tokens, recognition, sorted tokens: small tests, since the tools are slow.
  stages=(
    GPUMasksTest.ParametersHaveTheirOwnBits
    GPURowSelectionTest.SelectedRowsServeSeveralLaunches
    GPUReuseTest.NaNAndInfinityFireNoWindow
    GPUReuseTest.RowsMergeAmongTheListed
    GPUReuseTest.ACellIsComputedOnce
    GPURecognitionTest.HeadsOfKnownTypes
    GPUSortedTokensTest.ShortTilesEndInZeros
  )
  for tool in memcheck racecheck synccheck initcheck; do
    step "$tool" 300 "$passed"$'\n'"$clean" \
      env WEFT_TEST_PROGRAMS=3 "$sanitizer" --tool "$tool" "$tests" --gtest_filter='GPUDifferentialTest.*'
    step "$tool-stages" 300 "PASSED  \\] ${#stages[@]} tests"$'\n'"$clean" \
      "$sanitizer" --tool "$tool" "$tests" --gtest_filter="$(IFS=:; echo "${stages[*]}")"
  done
else
  rows+=("sanitizers        SKIPPED: no compute-sanitizer")
fi
step features 300 'launch.*us' "$here/bin/GPUBench" --benchmark_counters_tabular=true
cat "$logs/features.log"
if python3 -c 'import torch, safetensors' 2>/dev/null; then
  step peers 1200 'over cuDNN dense' python3 "$here/peers/gpu.py" --weft-run="$here/bin/weft-run" \
    --json="$logs/gpu.json" ${WEFT_GPU_SHAPES:+--shapes=$WEFT_GPU_SHAPES}
  cat "$logs/peers.log"
else
  rows+=("peers             SKIPPED: no PyTorch with safetensors")
fi

printf '%s\n' "${rows[@]}"
exit $failed
