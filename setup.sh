#!/usr/bin/env bash
# Installs what Nervelight needs on Debian 12, Ubuntu 24.04 or later. Says what it does; what is there
# already is left alone, so a second run takes a second.
#
#   ./setup.sh run     to build and run the daemon
#   ./setup.sh train   also to build and run the trainer (PyTorch, 5 GB)
#   ./setup.sh test    also to run every test
#   ./setup.sh gpu     what `make gpu` needs, without the trainer
set -euo pipefail
cd "$(dirname "$0")"
what=${1:-run}
case $what in run | train | test | gpu) ;; *) sed -n '2,9s/^# \?//p' "$0"; exit 2 ;; esac

say() { echo "setup: $*" >&2; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; return; fi
    command -v sudo >/dev/null || { say "run as root, or install sudo, for: $*"; exit 1; }
    sudo "$@"
}

# Debian packages.
packages=(build-essential ca-certificates curl git glib-networking pkg-config python3-venv
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools gstreamer1.0-libav
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-x)
case $what in train | test) packages+=(ffmpeg) ;; esac
# Ubuntu has Chromium as a snap only, which many machines cannot run: the tests of pages skip there
# unless a chromedriver is in PATH.
if [ "$what" = test ] && ! command -v chromedriver >/dev/null && grep -q '^ID=debian' /etc/os-release; then
    packages+=(chromium chromium-driver)
fi
# The other ends of the tests' streams and pushes: an X server, an OpenIGTLink library, an RTSP server, DICOM tools, minisign,
# a tool of container registries.
[ "$what" != test ] || packages+=(minisign skopeo valgrind xvfb libopenigtlink-dev python3-gi gir1.2-gst-rtsp-server-1.0 openssl dcmtk)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    say "apt-get install ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# A registry and what checks Prometheus' rules: only the programs, taken out of their packages, whose services would start.
if [ "$what" = test ]; then
    tools=${XDG_CACHE_HOME:-$HOME/.cache}/nervelight/tools
    for tool in docker-registry:docker-registry prometheus:promtool; do
        package=${tool%:*} program=${tool#*:}
        [ -x "$tools/$program" ] && continue
        say "apt-get download $package -> $tools/$program"
        mkdir -p "$tools"
        folder=$(mktemp -d "$tools/package.XXXXXX")
        # The lists of packages may be old, or missing.
        (cd "$folder" && { apt-get download -q "$package" || { as_root apt-get update -q && apt-get download -q "$package"; }; } &&
            dpkg-deb -x "$package"_*.deb .)
        mv -f "$folder/usr/bin/$program" "$tools/$program"
        rm -rf "$folder"
    done
fi

# Rust; rust-toolchain.toml is for rustup, a distribution's own cargo may do if it is new enough.
export PATH="$HOME/.cargo/bin:$PATH"
if ! command -v cargo >/dev/null; then
    say "installing Rust with rustup (https://rustup.rs)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c rustfmt -c clippy
fi
required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
found=$(cargo --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$required" "$found" | sort -V | head -1)" != "$required" ]; then
    say "cargo $found is too old, $required is needed: run 'rustup update', or install rustup"
    exit 1
fi

# PyTorch's libraries for the trainer.
[ -x .venv/bin/python ] || { say "python3 -m venv .venv"; python3 -m venv .venv; }
has() { .venv/bin/python -c "import importlib.metadata as m, sys; sys.exit(m.version('$1').split('+')[0] != '$2')" 2>/dev/null; }
need() { has "$1" "$2" || { say "pip install $1==$2"; .venv/bin/pip install -q --disable-pip-version-check "$1==$2"; }; }
case $what in train | test) need torch 2.11.0 ;; esac
[ "$what" != test ] || need pyigtl 0.3.4
# A WebRTC stack of somebody else's, as a viewer.
[ "$what" != test ] || need aiortc 1.16.0
# Asks the API whatever its document allows, and what it does not.
[ "$what" != test ] || need schemathesis 4.32.5
# Writes DICOM files for the tests.
[ "$what" != test ] || need pydicom 3.0.2

# ONNX Runtime everywhere, and on x86 OpenVINO. The wheels are for a Python of their own; only the libraries are taken, to
# where the daemon finds them.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nervelight
fetch() ( # NAME==VERSION, a folder of the wheel, the files in it; a file a=b gets the name b
    package=$1 from=$2 name=${1%%=*}
    shift 2
    [ "$(cat "$cache/$name" 2>/dev/null)" != "$package" ] || exit 0
    say "pip install $package -> $cache"
    mkdir -p "$cache"
    wheel=$(mktemp -d "$cache/wheel.XXXXXX")
    trap 'rm -rf "$wheel"' EXIT
    .venv/bin/pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
        --platform "manylinux_2_28_$(uname -m)" --target "$wheel" "$package"
    mkdir "$wheel/taken"
    for file; do mv "$wheel/$from/${file%=*}" "$wheel/taken/${file#*=}"; done
    # Renamed into place: a running daemon keeps the libraries it has open.
    mv -f "$wheel"/taken/* "$cache"
    echo "$package" >"$cache/$name"
)
# An older version of this script took OpenVINO from inside of ONNX Runtime.
rm -f "$cache"/libonnxruntime_providers_*.so "$cache"/libopenvino*.so.2541
fetch onnxruntime==1.32.0 onnxruntime/capi libonnxruntime.so.1.32.0=libonnxruntime.so
if [ "$(uname -m)" = x86_64 ]; then
    # The others under the names by which they load each other.
    fetch openvino==2026.4.1 openvino/libs libopenvino_c.so.2641=libopenvino_c.so libopenvino.so.2641 \
        libopenvino_onnx_frontend.so.2641 libopenvino_intel_cpu_plugin.so libtbb.so.12
fi

if [ "$what" = test ] || [ "$what" = gpu ]; then
    # TensorRT's headers come inside two packages of cargo's registry, its runtime without builder (44 MB) in pip's.
    for source in trtx-sys@0.5.0:10.16 trtx-sys@0.9.1:11.4; do
        crate=${source%:*} version=${source#*:}
        [ -e "$cache/tensorrt/$version/NvInfer.h" ] && continue
        say "headers of TensorRT $version: cargo package $crate"
        cargo info --quiet --registry crates-io "$crate" >/dev/null
        mkdir -p "$cache/tensorrt"
        cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"${crate/@/-}"*/TensorRT-Headers/TRT-Enterprise-"$version" \
            "$cache/tensorrt/$version"
    done
    # TensorRT for RTX: headers, and the libraries (95 MB), whose builder works without a GPU. There are none for Arm.
    if [ "$(uname -m)" = x86_64 ] && ! [ -e "$cache/tensorrt/rtx/libtensorrt_rtx.so.1" ]; then
        say "TensorRT for RTX: headers of cargo package trtx-sys@0.9.1, pip install tensorrt-rtx-cu13-libs==1.7.1.116"
        cargo info --quiet --registry crates-io trtx-sys@0.9.1 >/dev/null
        rm -rf "$cache/tensorrt/rtx.new"
        .venv/bin/pip install -q --disable-pip-version-check --no-deps --target "$cache/tensorrt/rtx.new" \
            tensorrt-rtx-cu13-libs==1.7.1.116
        cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/trtx-sys-0.9.1*/TensorRT-Headers/TRT-RTX-1.7 \
            "$cache/tensorrt/rtx.new/tensorrt_rtx_libs/include"
        mv "$cache/tensorrt/rtx.new/tensorrt_rtx_libs" "$cache/tensorrt/rtx"
        rm -r "$cache/tensorrt/rtx.new"
    fi
    if [ "$(uname -m)" = x86_64 ] && ! [ -e "$cache/tensorrt/lean/libnvinfer_lean.so.11" ]; then
        say "pip install tensorrt-lean-cu13-libs==11.4.0.106 -> $cache/tensorrt/lean"
        .venv/bin/pip install -q --disable-pip-version-check --no-deps --target "$cache/tensorrt/lean.new" \
            tensorrt-lean-cu13-libs==11.4.0.106
        mv "$cache/tensorrt/lean.new/tensorrt_lean_libs" "$cache/tensorrt/lean"
        rm -r "$cache/tensorrt/lean.new"
    fi
    for tool in nextest deny; do
        [ "$what $tool" != "gpu deny" ] || continue
        command -v "cargo-$tool" >/dev/null && continue
        say "cargo install cargo-$tool (some minutes)"
        cargo install --quiet --locked "cargo-$tool"
    done
fi
