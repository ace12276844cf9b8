#!/usr/bin/env bash
# One check of an installed Evenrow; tests/install/CMakeLists.txt names them.
#   install_test.sh CHECK CMAKE CXX BUILD SOURCE WORK LIBDIR VERSION
set -euo pipefail
check=$1 cmake=$2 cxx=$3 build=$4 source=$5 work=$6 libdir=$7 version=$8
prefix=$work/moved
strict=(-std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

case $check in
  install)
    # Installed in one place and moved to another: nothing in it may know where it was.
    rm -rf "$work"
    "$cmake" --install "$build" --prefix "$work/first" >"$build/install.log"
    mv "$work/first" "$prefix"
    for file in include/evenrow/evenrow.hpp "$libdir/libevenrow.so" bin/evenrow \
      "$libdir/pkgconfig/evenrow.pc" "$libdir/cmake/evenrow/evenrowConfig.cmake" \
      share/doc/evenrow/LICENSE share/bash-completion/completions/evenrow \
      share/zsh/site-functions/_evenrow; do
      [[ -e $prefix/$file ]] || fail "not installed: $file"
    done
    if grep -rIl -e "$work/first" -e "$source" "$prefix/$libdir" "$prefix/include"; then
      fail "installed files above name a folder of this machine"
    fi
    ;;

  headers)
    # Every public header compiles alone, with the installed headers and nothing else in reach.
    count=0
    for header in "$prefix"/include/evenrow/*.hpp; do
      "$cxx" "${strict[@]}" -fsyntax-only -x c++ -I "$prefix/include" - \
        <<<"#include <evenrow/$(basename "$header")>" || fail "does not compile alone: $header"
      count=$((count + 1))
    done
    expected=$(find "$source/include/evenrow" -name '*.hpp' | wc -l)
    [[ $count == "$expected" ]] || fail "$count of $expected headers are installed"
    ;;

  find_package)
    rm -rf "$work/find_package"
    "$cmake" -S "$source/tests/install/outside" -B "$work/find_package" \
      -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
    "$cmake" --build "$work/find_package"
    "$work/find_package/outside"
    # Another version than the installed one is refused.
    mkdir -p "$work/other_version"
    # shellcheck disable=SC2016
    printf '%s\n' 'cmake_minimum_required(VERSION 3.25)' 'project(other LANGUAGES NONE)' \
      'find_package(evenrow ${WANTED} EXACT CONFIG REQUIRED)' >"$work/other_version/CMakeLists.txt"
    for wanted in "$version" 99.0.0; do
      rm -rf "$work/other_version/build"
      found=yes
      "$cmake" -S "$work/other_version" -B "$work/other_version/build" -DWANTED="$wanted" \
        -DCMAKE_PREFIX_PATH="$prefix" >/dev/null 2>&1 || found=no
      [[ $wanted/$found == "$version/yes" || $wanted/$found == 99.0.0/no ]] ||
        fail "version $wanted: found: $found"
    done
    ;;

  pkg_config)
    export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
    # shellcheck disable=SC2046
    "$cxx" "${strict[@]}" -O2 "$source/tests/install/outside/main.cpp" -o "$work/outside" \
      $(pkg-config --cflags --libs evenrow)
    LD_LIBRARY_PATH=$prefix/$libdir "$work/outside"
    if pkg-config --exists 'evenrow >= 99'; then fail "version 99 was found"; fi
    ;;

  symbols)
    # What the library shows of its own is Evenrow's: no other library's templates.
    foreign=$(nm --dynamic --defined-only --demangle "$prefix/$libdir/libevenrow.so" |
      grep -v 'evenrow::' || true)
    [[ -z $foreign ]] || fail "libevenrow.so shows symbols of others:" "$foreign"
    soname=$(readelf --dynamic "$prefix/$libdir/libevenrow.so" | grep SONAME)
    [[ $soname == *"[libevenrow.so.${version%.*}]" ]] || fail "unexpected SONAME: $soname"
    ;;

  program)
    program=$prefix/bin/evenrow
    "$program" --version | grep -qF "$version" || fail "--version does not say $version"
    verbs=$("$program" --help | sed -n '/^Verbs:/,/^$/p' | sed -n 's/^  \([a-z-]*\) .*/\1/p')
    [[ $(wc -w <<<"$verbs") -ge 4 ]] || fail "fewer verbs than expected: $verbs"
    for verb in $verbs; do
      # Every verb's help has an example, a completion and, with help2man, a page.
      "$program" "$verb" --help | grep -q "^ *\(\$ \)\?evenrow $verb" ||
        fail "evenrow $verb --help shows no example"
      if command -v help2man >/dev/null; then
        [[ -s $prefix/share/man/man1/evenrow-$verb.1 ]] || fail "no man page for $verb"
      fi
    done
    # shellcheck disable=SC1091
    source "$prefix/share/bash-completion/completions/evenrow"
    complete_words() {
      COMP_WORDS=("$@")
      COMP_CWORD=$(($# - 1))
      _evenrow
      printf '%s ' "${COMPREPLY[@]}"
    }
    offered=$(complete_words evenrow '')
    for verb in $verbs; do
      [[ " $offered" == *" $verb "* ]] || fail "completion does not offer $verb: $offered"
    done
    [[ $(complete_words evenrow tr) == "train " ]] || fail "completion of 'tr'"
    [[ " $(complete_words evenrow train --)" == *" --hidden "* ]] || fail "completion of 'train --'"
    norms=$(complete_words evenrow train --norm '')
    [[ " $norms" == *" batch "* && " $norms" == *" none "* ]] || fail "completion of --norm: $norms"
    ;;

  *) fail "unknown check: $check" ;;
esac
