#!/usr/bin/env bash
# One check of an installed Evenrow; tests/install/CMakeLists.txt names them.
#   install_test.sh CHECK CMAKE CXX BUILD SOURCE WORK LIBDIR VERSION CC PYTHON
set -euo pipefail
check=$1 cmake=$2 cxx=$3 build=$4 source=$5 work=$6 libdir=$7 version=$8 cc=$9
python=${10}
prefix=$work/moved
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
strict=(-std=c++20 "${warnings[@]}")
strict_c=(-std=c11 "${warnings[@]}")

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# The last line of the C program.
expect_c_version() {
  printf '%s\n' "$1"
  [[ $1 == *"expected of evenrow $version" ]] || fail "evenrow_version() is not $version"
}

case $check in
  install)
    # Installed in one place and moved to another: nothing in it may know where it was.
    rm -rf "$work"
    "$cmake" --install "$build" --prefix "$work/first" >"$build/install.log"
    mv "$work/first" "$prefix"
    for file in include/evenrow/evenrow.hpp include/evenrow/evenrow.h \
      "$libdir/libevenrow.so" bin/evenrow \
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
    # The one for C, in both languages.
    for compile in "$cc ${strict_c[*]} -x c" "$cxx ${strict[*]} -x c++"; do
      # shellcheck disable=SC2086
      $compile -fsyntax-only -I "$prefix/include" - <<<"#include <evenrow/evenrow.h>" ||
        fail "does not compile alone: evenrow.h by $compile"
    done
    ;;

  find_package)
    rm -rf "$work/find_package"
    "$cmake" -S "$source/tests/install/outside" -B "$work/find_package" \
      -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$prefix" \
      -DCMAKE_BUILD_TYPE=Release
    "$cmake" --build "$work/find_package"
    "$work/find_package/outside"
    expect_c_version "$("$work/find_package/outside_c")"
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
    # shellcheck disable=SC2046
    "$cc" "${strict_c[@]}" -O2 "$source/tests/install/outside/c_program.c" -o "$work/outside_c" \
      $(pkg-config --cflags --libs evenrow) -lm
    expect_c_version "$(LD_LIBRARY_PATH=$prefix/$libdir "$work/outside_c")"
    if pkg-config --exists 'evenrow >= 99'; then fail "version 99 was found"; fi
    ;;

  c_examples)
    # The examples of the C interface's page print what the page says.
    page=$source/docs/c-interface.md
    block() { # LANGUAGE N: the Nth block of that language
      awk -v fence='```'"$1" -v n="$2" '$0 == "```" { in_it = 0 } in_it { print }
        $0 == fence && ++seen == n { in_it = 1 }' "$page"
    }
    export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig LD_LIBRARY_PATH=$prefix/$libdir
    block c 1 >"$work/step.c"
    # shellcheck disable=SC2046
    "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror "$work/step.c" \
      $(pkg-config --cflags --libs evenrow) -o "$work/step"
    diff <("$work/step") <(block text 1) || fail "the C example prints something else"
    block python 1 >"$work/step.py"
    diff <("$python" "$work/step.py") <(block text 2) || fail "the Python example prints something else"
    ;;

  symbols)
    # What the library shows beside namespace evenrow is what evenrow.h declares, all of it: no other
    # library's templates.
    shown=$(nm --dynamic --defined-only --demangle "$prefix/$libdir/libevenrow.so" |
      sed '/evenrow::/d; s/^[0-9a-f]* //' | sort)
    declared=$(grep -oE '\bevenrow_[a-z_]+\(' "$prefix/include/evenrow/evenrow.h" |
      sed 's/^/T /; s/($//' | sort -u)
    [[ -n $declared ]] || fail "evenrow.h declares nothing"
    [[ $shown == "$declared" ]] ||
      fail "libevenrow.so shows symbols that evenrow.h does not declare (<), or the reverse (>):" \
        "$(diff <(printf '%s\n' "$shown") <(printf '%s\n' "$declared"))"
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
