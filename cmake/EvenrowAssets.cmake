# Run at build time: writes OUTPUT, the source of src/report/assets.hpp: the parts of a report page
# as text, and the hashes by which its content security policy knows them.
# cmake -DOUTPUT=... -DSOURCE=src/report -DCHART=chart.min.js -P EvenrowAssets.cmake
cmake_minimum_required(VERSION 3.25)

set(code "// Made by cmake/EvenrowAssets.cmake.\n#include \"report/assets.hpp\"\n\n")
string(APPEND code "namespace evenrow::report::assets {\n")

# asset(NAME TEXT): the constant NAME. Compilers need not take a literal of more than 65536
# characters, so that a long text is given in pieces.
function(asset NAME TEXT)
  string(LENGTH "${TEXT}" length)
  set(pieces "")
  set(at 0)
  while(at LESS length)
    string(SUBSTRING "${TEXT}" ${at} 60000 piece)
    string(APPEND pieces "    R\"evenrow(${piece})evenrow\"\n")
    math(EXPR at "${at} + 60000")
  endwhile()
  string(APPEND code "const std::string_view ${NAME} =\n${pieces};\n")
  set(code "${code}" PARENT_SCOPE)
endfunction()

# A hash as content security policies spell it: 'sha256-BASE64'.
function(source_hash NAME TEXT)
  string(SHA256 hex "${TEXT}")
  string(TOUPPER "${hex}" hex)
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo_append "${hex}"
                  COMMAND basenc --base16 --decode
                  COMMAND base64
                  OUTPUT_VARIABLE base64 OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
  asset(${NAME} "'sha256-${base64}'")
  set(code "${code}" PARENT_SCOPE)
endfunction()

file(READ ${SOURCE}/page.html html)
file(READ ${SOURCE}/page.css css)
file(READ ${SOURCE}/page.js js)
file(READ ${SOURCE}/chart-licence.txt licence)
file(READ ${CHART} chart)
foreach(script IN ITEMS "${js}" "${chart}")
  if(script MATCHES "</script|<!--")
    message(FATAL_ERROR "a script holds what would end it inside a page")
  endif()
endforeach()
asset(html "${html}")
asset(licence "${licence}")
foreach(name css js chart)
  asset(${name} "${${name}}")
  source_hash(${name}_hash "${${name}}")
endforeach()
string(APPEND code "}  // namespace evenrow::report::assets\n")
file(WRITE ${OUTPUT} "${code}")
