#!/usr/bin/env bash
# Installs a released regshape for a GitHub Action: downloads the archive of the machine, verifies it and puts it on the PATH.
#
#   REGSHAPE_VERSION    the version, such as 0.1.0
#   REGSHAPE_RELEASES   the place of the releases: a URL, or a directory on the disk [default: the project's releases]
#   RUNNER_TEMP         the directory that the program is installed in
#   GITHUB_PATH         the file that a directory of programs is added to
#   GITHUB_OUTPUT       the file that outputs are added to
set -euo pipefail

version=${REGSHAPE_VERSION#v}
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || { printf 'not a version: %q; give one such as 0.1.0\n' "$version" >&2; exit 1; }
releases=${REGSHAPE_RELEASES:-https://github.com/regshape/regshape/releases/download}

case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) target=x86_64-unknown-linux-musl ;;
    Linux-aarch64 | Linux-arm64) target=aarch64-unknown-linux-musl ;;
    Darwin-x86_64) target=x86_64-apple-darwin ;;
    Darwin-arm64) target=aarch64-apple-darwin ;;
    MINGW*-x86_64 | MSYS*-x86_64) target=x86_64-pc-windows-msvc ;;
    *) echo "no release for $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac
name=regshape-v$version-$target
archive=$name.tar.gz
program=regshape
if [[ $target == *windows* ]]; then
    archive=$name.zip
    program=regshape.exe
fi

work=$(mktemp -d "${RUNNER_TEMP:?}/regshape.XXXXXX")
fail() {
    rm -rf "$work"
    echo "$1" >&2
    exit 1
}

# fetch FILE: copies a file of the release into the working directory.
fetch() {
    if [[ -d $releases ]]; then
        cp "$releases/v$version/$1" "$work/$1"
    else
        curl --fail --silent --show-error --location --retry 3 --output "$work/$1" "$releases/v$version/$1"
    fi
}

# sum FILE: the SHA-256 digest of a file.
sum() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

fetch SHA256SUMS || fail "no release v$version at $releases"
fetch "$archive" || fail "release v$version has no $archive"
expected=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/SHA256SUMS")
actual=$(sum "$work/$archive")
[[ -n $expected ]] || fail "SHA256SUMS does not list $archive"
[[ $expected == "$actual" ]] || fail "$archive is corrupt: expected $expected, got $actual"

case $archive in
    *.zip) unzip -q "$work/$archive" -d "$work" ;;
    *) tar -xzf "$work/$archive" -C "$work" ;;
esac || fail "$archive cannot be unpacked"
"$work/$name/$program" --version || fail "$program does not run on this machine"
echo "$work/$name" >> "${GITHUB_PATH:?}"
echo "path=$work/$name/$program" >> "${GITHUB_OUTPUT:-/dev/null}"
