# Run at build time: asks the program for its own --help, and writes from it
#   OUTPUT/completion/evenrow    completion for bash
#   OUTPUT/completion/_evenrow   completion for zsh
#   OUTPUT/man/evenrow[-VERB].1  man pages, where HELP2MAN names that program
# cmake -DPROGRAM=... -DOUTPUT=... -DHELP2MAN=... -DVERSION=... -P EvenrowHelp.cmake
cmake_minimum_required(VERSION 3.25)

file(REMOVE_RECURSE ${OUTPUT})
file(MAKE_DIRECTORY ${OUTPUT}/completion ${OUTPUT}/man)

# help_lines(VARIABLE VERB...): what `evenrow VERB... --help` prints, as a list of lines. Characters
# that mean something in a CMake list or in a quoted word of a shell are left out.
function(help_lines VARIABLE)
  execute_process(COMMAND ${PROGRAM} ${ARGN} --help OUTPUT_VARIABLE text RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${PROGRAM} ${ARGN} --help failed: ${status}")
  endif()
  string(REGEX REPLACE "[][;'\"`$\\\\]" "" text "${text}")
  string(REPLACE "\n" ";" text "${text}")
  set(${VARIABLE} "${text}" PARENT_SCOPE)
endfunction()

# The verbs: the indented lines under "Subcommands:".
help_lines(lines)
set(verbs "")
set(verb_words "")
set(in_verbs FALSE)
foreach(line IN LISTS lines)
  if(line MATCHES "^Subcommands:")
    set(in_verbs TRUE)
  elseif(in_verbs AND line MATCHES "^  ([a-z][a-z-]*) +(.*)$")
    list(APPEND verbs ${CMAKE_MATCH_1})
    string(REPLACE ":" "" what "${CMAKE_MATCH_2}")
    string(APPEND verb_words "    '${CMAKE_MATCH_1}:${what}'\n")
  elseif(line MATCHES "^[^ ]")
    set(in_verbs FALSE)
  endif()
endforeach()
if(NOT verbs)
  message(FATAL_ERROR "${PROGRAM} --help lists no subcommands")
endif()

# Every option of every verb: a line "  -s,--long TYPE:{value,value} ...  what it does".
set(bash_values "")
set(bash_options "")
set(zsh_verbs "")
foreach(verb IN LISTS verbs)
  help_lines(lines ${verb})
  list(LENGTH lines count)
  set(verb_options "")
  set(zsh_options "")
  set(at 0)
  foreach(line IN LISTS lines)
    math(EXPR at "${at} + 1")
    if(NOT line MATCHES "^  (-[^ ]+)(.*)$")
      continue()
    endif()
    string(REPLACE "," ";" names "${CMAKE_MATCH_1}")
    set(rest "${CMAKE_MATCH_2}")
    # The description follows two spaces, or stands alone on the next line.
    set(type "${rest}")
    set(what "")
    if(rest MATCHES "^( [^ ]+)*  +([^ ].*)$")
      set(what "${CMAKE_MATCH_2}")
      string(REGEX REPLACE "  +.*$" "" type "${rest}")
    elseif(at LESS count)
      list(GET lines ${at} what)
      string(STRIP "${what}" what)
    endif()
    string(STRIP "${type}" type)
    set(values "")
    if(type MATCHES "{([^}]*)}")
      string(REGEX REPLACE "->[^,]*" "" values "${CMAKE_MATCH_1}")
      string(REPLACE "," " " values "${values}")
    endif()
    string(REPLACE ":" "" what "${what}")
    foreach(name IN LISTS names)
      string(APPEND verb_options " ${name}")
      if(values)
        string(APPEND bash_values "    '${verb} ${name}') words='${values}' ;;\n")
        string(APPEND zsh_options "        '${name}[${what}]:value:(${values})' \\\n")
      elseif(type)
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
  # man_page(PAGE VERB...): the line under NAME is the program's own first line.
  function(man_page PAGE)
    help_lines(lines ${ARGN})
    list(GET lines 0 name)
    list(JOIN ARGN " " verb)
    string(STRIP "${PROGRAM} ${verb}" command)
    execute_process(
      COMMAND ${HELP2MAN} --no-info --no-discard-stderr --section=1 --locale=C
              --manual=Evenrow "--source=evenrow ${VERSION}" --version-string=${VERSION}
              "--name=${name}" --output=${OUTPUT}/man/${PAGE}.1 ${command}
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
  man_page(evenrow)
  foreach(verb IN LISTS verbs)
    man_page(evenrow-${verb} ${verb})
  endforeach()
endif()
file(WRITE ${OUTPUT}/done "")
