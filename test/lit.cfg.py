# Configuration of the lit tests: which files are tests, which tools they run, what the machine has.

import ctypes.util
import os
import platform
import shutil

import lit.formats
from lit.llvm import llvm_config
from lit.llvm.subst import ToolSubst

config.name = "Weft"
config.test_format = lit.formats.ShTest(not llvm_config.use_lit_shell)
config.suffixes = [".mlir", ".test", ".weft"]
config.excludes = ["Inputs", "unit"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = config.weft_test_dir

llvm_config.with_system_environment(["HOME", "TMPDIR", "XDG_CACHE_HOME"])
llvm_config.add_tool_substitutions(
    [
        ToolSubst("weft-explain", unresolved="ignore"),
        ToolSubst("weft-lsp-server", unresolved="ignore"),
        ToolSubst("weft-opt", unresolved="fatal"),
        ToolSubst("weft-run", unresolved="ignore"),
        ToolSubst("weft-search", unresolved="ignore"),
        ToolSubst("weftc", unresolved="ignore"),
    ],
    [config.weft_tools_dir],
)
llvm_config.add_tool_substitutions(["FileCheck", "count", "not", "split-file"], [config.llvm_tools_dir])

config.substitutions.append(("%python", '"%s"' % config.python_executable))
config.substitutions.append(("%weft_root", config.weft_root))
config.substitutions.append(("%weft_tools_dir", config.weft_tools_dir))

# What scripts/setup peers makes.
peers_python = os.path.join(config.weft_root, "build", "venv-peers", "bin", "python")
config.substitutions.append(("%peers_python", '"%s"' % peers_python))
if os.path.exists(peers_python):
    config.available_features.add("peers")

# What scripts/setup makes, unless pip fails.
demo_python = os.path.join(config.weft_root, "build", "venv", "bin", "python")
config.substitutions.append(("%demo_python", '"%s"' % demo_python))
if os.path.exists(os.path.join(config.weft_root, "build", "venv", "installed.txt")):
    config.available_features.add("demo")


def cpu_features():
    """Names as in /proc/cpuinfo: avx2, avx512f, avx512_bf16, amx_bf16, ..."""
    try:
        with open("/proc/cpuinfo") as info:
            lines = [line for line in info if line.startswith(("flags", "Features"))]
    except OSError:
        return []
    return lines[0].split(":")[1].split() if lines else []


config.available_features.add(platform.machine())
for feature in cpu_features():
    if feature.startswith(("amx", "avx", "sve")):
        config.available_features.add(feature)
# The stand-in for the CUDA driver.
emulator = os.path.join(config.weft_test_dir, "ptx", "libweft-cuda-emulator.so")
config.substitutions.append(("%cuda_emulator", emulator))
ptxas = shutil.which("ptxas", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/cuda/bin"]))
if ptxas:
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", ptxas))
if ctypes.util.find_library("cuda"):
    config.available_features.add("cuda")
