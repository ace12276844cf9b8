# evenrow_room(NAME [ROOMS room...] [EXTERNAL target...])
#   src/NAME/*.cpp as the static library evenrow_NAME; what it may include is what it links.
# evenrow_library()
#   The rooms so far as the one library that users link: evenrow::evenrow.

add_library(evenrow_flags INTERFACE)
target_compile_options(evenrow_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                       -ffp-contract=off)
if(EVENROW_WERROR)
  target_compile_options(evenrow_flags INTERFACE -Werror)
endif()
# EVENROW_UNWATCHED, a property of a target: the option that takes sanitizers from it again.
if(EVENROW_SANITIZE)
  target_compile_options(evenrow_flags INTERFACE -fsanitize=${EVENROW_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all
                         $<$<BOOL:${EVENROW_FUZZ}>:-fsanitize=fuzzer-no-link>  # coverage for libFuzzer
                         $<TARGET_PROPERTY:EVENROW_UNWATCHED>)
  target_link_options(evenrow_flags INTERFACE -fsanitize=${EVENROW_SANITIZE})
endif()

set(EVENROW_ROOMS "" CACHE INTERNAL "")

function(evenrow_room NAME)
  cmake_parse_arguments(ROOM "" "" "ROOMS;EXTERNAL" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${NAME}/*.cpp)
  if(NOT sources)
    add_library(evenrow_${NAME} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(evenrow_${NAME} STATIC ${sources})
    set(scope PUBLIC)
    target_link_libraries(evenrow_${NAME} PRIVATE $<BUILD_INTERFACE:evenrow_flags>)
    set_property(GLOBAL APPEND PROPERTY EVENROW_BUILT_ROOMS evenrow_${NAME})
  endif()
  target_include_directories(evenrow_${NAME} ${scope} ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_SOURCE_DIR}/src)
  set_property(GLOBAL APPEND PROPERTY EVENROW_EXTERNAL ${ROOM_EXTERNAL})
  list(TRANSFORM ROOM_ROOMS PREPEND evenrow_)
  target_link_libraries(evenrow_${NAME} ${scope} ${ROOM_ROOMS} ${ROOM_EXTERNAL})
endfunction()

function(evenrow_library)
  get_property(rooms GLOBAL PROPERTY EVENROW_BUILT_ROOMS)
  set(objects "")
  foreach(room ${rooms})
    list(APPEND objects $<TARGET_OBJECTS:${room}>)
  endforeach()
  add_library(evenrow SHARED ${objects})
  add_library(evenrow::evenrow ALIAS evenrow)
  set_target_properties(evenrow PROPERTIES LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION}
                        SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(evenrow PUBLIC cxx_std_20)
  target_include_directories(evenrow PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  get_property(external GLOBAL PROPERTY EVENROW_EXTERNAL)
  list(REMOVE_DUPLICATES external)
  foreach(library evenrow_flags ${external})
    # What it is built from is no concern of those who link it.
    target_link_libraries(evenrow PRIVATE $<BUILD_INTERFACE:${library}>)
  endforeach()
  set(symbols ${PROJECT_SOURCE_DIR}/cmake/evenrow.map)
  target_link_options(evenrow PRIVATE LINKER:--version-script=${symbols}
                      LINKER:-Bsymbolic-functions)  # calls inside the library are direct
  if(NOT EVENROW_SANITIZE)
    target_link_options(evenrow PRIVATE LINKER:--no-undefined)  # Clang's sanitizers are defined later.
  endif()
  set_target_properties(evenrow PROPERTIES LINK_DEPENDS ${symbols})
endfunction()
