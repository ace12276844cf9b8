# Run at build time: asks the program for its own --help, and writes from it
#   OUTPUT/completion/evenrow    completion for bash
#   OUTPUT/completion/_evenrow   completion for zsh
#   OUTPUT/man/evenrow[-VERB].1  man pages, where HELP2MAN names that program
# cmake -DPROGRAM=... -DOUTPUT=... -DHELP2MAN=... -DVERSION=... -DDESCRIPTION=...
#       -P EvenrowHelp.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${OUTPUT})
file(MAKE_DIRECTORY ${OUTPUT}/completion ${OUTPUT}/man)

# help_entries(PREFIX VERB...): the lists that `evenrow VERB... --help` consists of:
#   Heading:
#     left part           what it is, in one line or several
# as three lists of equal length, PREFIX_heads, PREFIX_lefts and PREFIX_whats. Characters that mean
# something in a CMake list or in a quoted word of a shell are left out.
function(help_entries PREFIX)
  execute_process(COMMAND ${PROGRAM} ${ARGN} --help OUTPUT_VARIABLE text RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${PROGRAM} ${ARGN} --help failed: ${status}")
  endif()
  string(REGEX REPLACE "[][;'\"`$\\\\]" "" text "${text}")
  string(REPLACE "\n" ";" lines "${text}")
  set(heads "")
  set(lefts "")
  set(whats "")
  set(head "Usage")
  set(left "")
  set(what "")
  # The empty line at the end closes the last entry.
  foreach(line IN LISTS lines ITEMS "")
    if(left AND line MATCHES "^     +([^ ].*)$")
      set(what "${what} ${CMAKE_MATCH_1}")
      continue()
    endif()
    if(left)
      string(STRIP "${what}" what)
      list(APPEND heads "${head}")
      list(APPEND lefts "${left}")
      list(APPEND whats "${what}.")
      set(left "")
    endif()
    if(line MATCHES "^([^ ].*):$")
      set(head "${CMAKE_MATCH_1}")
    elseif(line MATCHES "^  ([^ ].*)$")
      set(left "${CMAKE_MATCH_1}")
      set(what "")
      string(FIND "${left}" "  " gap)
      if(gap GREATER 0)
        string(SUBSTRING "${left}" ${gap} -1 what)
        string(SUBSTRING "${left}" 0 ${gap} left)
      endif()
    endif()
  endforeach()
  foreach(part heads lefts whats)
    string(REGEX REPLACE "\\.\\.(;|$)" ".\\1" ${part} "${${part}}")
    set(${PREFIX}_${part} "${${part}}" PARENT_SCOPE)
  endforeach()
endfunction()

# The verbs: the entries under "Verbs:".
help_entries(main)
set(verbs "")
set(verb_words "")
foreach(head left what IN ZIP_LISTS main_heads main_lefts main_whats)
  if(head STREQUAL "Verbs")
    list(APPEND verbs ${left})
    set(verb_what_${left} "${what}")
    string(REPLACE ":" "" what "${what}")
    string(APPEND verb_words "    '${left}:${what}'\n")
  endif()
endforeach()
if(NOT verbs)
  message(FATAL_ERROR "${PROGRAM} --help lists no verbs")
endif()

# Every option of every verb: entries like "-s, --long VALUE" or "--long one|two|three".
set(bash_values "")
set(bash_options "")
set(zsh_verbs "")
foreach(verb IN LISTS verbs)
  help_entries(verb ${verb})
  set(verb_options "")
  set(zsh_options "")
  foreach(left what IN ZIP_LISTS verb_lefts verb_whats)
    if(NOT left MATCHES "^-")
      continue()
    endif()
    string(REGEX MATCHALL "-[^ ,]+" names "${left}")
    string(REGEX REPLACE "^(-[^ ,]+,? ?)+" "" value "${left}")
    set(choices "")
    if(value MATCHES "^[a-z0-9_-]+(\\|[a-z0-9_-]+)+$")
      string(REPLACE "|" " " choices "${value}")
    endif()
    string(REPLACE ":" "" what "${what}")
    foreach(name IN LISTS names)
      string(APPEND verb_options " ${name}")
      if(choices)
        string(APPEND bash_values "    '${verb} ${name}') words='${choices}' ;;\n")
        string(APPEND zsh_options "        '${name}[${what}]:value:(${choices})' \\\n")
      elseif(value)
        string(APPEND zsh_options "        '${name}[${what}]:value:_files' \\\n")
      else()
        string(APPEND zsh_options "        '${name}[${what}]' \\\n")
      endif()
    endforeach()
  endforeach()
  string(STRIP "${verb_options}" verb_options)
  string(APPEND bash_options "      ${verb}) words='${verb_options}' ;;\n")
  string(APPEND zsh_verbs "    ${verb})\n      _arguments \\\n${zsh_options}        '*:file:_files'\n      ;;\n")
endforeach()

list(JOIN verbs "|" verb_pattern)
list(JOIN verbs " " verb_list)
file(WRITE ${OUTPUT}/completion/evenrow "# bash completion for evenrow ${VERSION}, made from its --help
_evenrow() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]}
  local verb='' words='' i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case \${COMP_WORDS[i]} in
      ${verb_pattern})
        verb=\${COMP_WORDS[i]}
        break
        ;;
    esac
  done
  case \"$verb $previous\" in
${bash_values}  esac
  if [[ -z $words && $word == -* ]]; then
    case $verb in
${bash_options}      *) words='--help --version' ;;
    esac
  elif [[ -z $words && -z $verb ]]; then
    words='${verb_list}'
  fi
  # Nothing to offer: bash goes on with file names.
  COMPREPLY=()
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")
  fi
}
complete -o default -F _evenrow evenrow
")
file(WRITE ${OUTPUT}/completion/_evenrow "#compdef evenrow
# zsh completion for evenrow ${VERSION}, made from its --help
if (( CURRENT == 2 )); then
  local -a verbs=(
${verb_words}  )
  _describe 'verb' verbs
else
  local verb=\$words[2]
  shift words
  (( CURRENT-- ))
  case \$verb in
${zsh_verbs}  esac
fi
")

if(HELP2MAN)
  # man_page(PAGE NAME VERB...): NAME is what stands in the page's first line.
  function(man_page PAGE NAME)
    list(JOIN ARGN " " verb)
    string(STRIP "${PROGRAM} ${verb}" command)
    execute_process(
      COMMAND ${HELP2MAN} --no-info --no-discard-stderr --section=1 --locale=C
              --manual=Evenrow "--source=evenrow ${VERSION}" --version-string=${VERSION}
              "--name=${NAME}" --output=${OUTPUT}/man/${PAGE}.1 ${command}
      RESULT_VARIABLE status ERROR_VARIABLE errors)
    if(NOT status EQUAL 0)
      message(FATAL_ERROR "help2man failed for ${PAGE}: ${errors}")
    endif()
    # help2man names a page after the program alone.
    string(TOUPPER ${PAGE} title)
    file(READ ${OUTPUT}/man/${PAGE}.1 text)
    string(REPLACE "\n.TH EVENROW " "\n.TH ${title} " text "${text}")
    string(REPLACE "\n.SH NAME\nevenrow ${verb} " "\n.SH NAME\n${PAGE} " text "${text}")
    file(WRITE ${OUTPUT}/man/${PAGE}.1 "${text}")
  endfunction()
  man_page(evenrow "${DESCRIPTION}")
  foreach(verb IN LISTS verbs)
    string(REGEX REPLACE "[.]( .*)?$" "" name "${verb_what_${verb}}")
    man_page(evenrow-${verb} "${name}" ${verb})
  endforeach()
endif()
file(WRITE ${OUTPUT}/done "")
